"""A run on disk: its folder, checkpoints, allow-list, the leaderboard of a sweep."""

from vqgen.runs.leaderboard import Leaderboard

__all__ = [
    "Leaderboard",
]
