"""Judges whether a figure of a long run grows."""

from collections.abc import Mapping, Sequence
from statistics import median

Points = Sequence[tuple[float, float]]
"""Moments, in order, with the figure's value at each."""
MOST_POINTS = 200


def slope(points: Points) -> float:
    """The median of the slopes between every two points (Theil and Sen): a peak or a saw's teeth hardly change it. Of many points, some in
    even distances count."""
    few = points[:: -(-len(points) // MOST_POINTS)] if points else points
    return median([(y - before) / (x - start) for number, (start, before) in enumerate(few) for x, y in few[number + 1 :]] or [0.0])


def growth(points: Points) -> float:
    """By how much the figure grew from the first point to the last, as its slope says."""
    return slope(points) * (points[-1][0] - points[0][0]) if points else 0.0


def growing(figures: Mapping[str, Points], allowed: Mapping[str, float], share: float = 0.0) -> dict[str, float]:
    """The figures that grew by more than is allowed by their name's first word (``rows of jobs``: ``rows``), and by more than this share of
    their median; and by how much."""
    found = {}
    for name, points in figures.items():
        more = growth(points)
        if more > max(allowed[name.split()[0]], share * median(value for _, value in points)):
            found[name] = more
    return found
