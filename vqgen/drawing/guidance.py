"""Schedules of the weight of guidance over the course of a map."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearGuidance:
    """From `start` at the first position to `end` at the last (arXiv 2406.11838, section 5)."""

    start: float = 1.0
    end: float = 3.0

    def __call__(self, share: float) -> float:
        """The weight when this share of the map is drawn."""
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class IntervalGuidance:
    """`weight` from the share `begin` of the map on until the share `end`, and none outside (arXiv 2404.07724)."""

    weight: float = 3.0
    begin: float = 0.2
    end: float = 0.8

    def __call__(self, share: float) -> float:
        """The weight when this share of the map is drawn."""
        return self.weight if self.begin <= share < self.end else 1.0
