"""A page in the browser in which one moves about in a trained run: a panel a file."""

from vqgen.tasks.explore.explore import Explore

__all__ = ["Explore"]
