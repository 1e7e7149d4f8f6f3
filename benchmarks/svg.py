"""Charts as SVG: bars and lines with title, unit and values, for light and dark pages. The same data give the same bytes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, RIGHT, LETTER = 430, 70, 7.2
"""Pixels of a chart beside its labels, of the room in it for a value at a bar's end, and of a letter, in a wide font."""
TOP, FOOT, BAR, GAP = 56, 14, 14, 8
PLOT_WIDTH, PLOT_HEIGHT, LEFT, MARGIN = 640, 220, 60, 40
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 15px; font-weight: 600 } .soft { fill: #59636e }
.back { fill: #ffffff } .axis { stroke: #59636e } .grid { stroke: #d1d9e0 } .s0 { fill: #0969da } .s1 { fill: #8c959f }
.line { fill: none; stroke: #0969da; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .soft { fill: #9198a1 } .back { fill: #0d1117 } .axis { stroke: #9198a1 } .grid { stroke: #3d444d }
.s0 { fill: #4493f8 } .s1 { fill: #6e7681 } .line { stroke: #4493f8 } }"""
"""Each series differs in lightness too, so that the charts can be read without colours."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars: for each label a value of each series, or None where it was not measured. ``around``: bars go from this value to
    the left and the right, on a scale of doublings (None: from zero to the right)."""

    title: str
    unit: str
    rows: Sequence[tuple[str, Sequence[float | None]]]
    series: Sequence[str] = ()
    around: float | None = None

    def svg(self) -> str:
        """The chart."""
        many = max(1, len(self.series))
        step = BAR * many + GAP
        height = TOP + step * len(self.rows) + FOOT
        values = [value for _, row in self.rows for value in row if value is not None]
        scale = _doublings(values, self.around) if self.around else _from_zero(values)
        labels = max(16 + LETTER * len(self.unit) if self.series else 0, 24 + LETTER * max(len(label) for label, _ in self.rows))
        parts = [_text(16, 42, self.unit, "soft"), *self._legend(labels)]
        for number, (label, row) in enumerate(self.rows):
            y = TOP + number * step
            parts.append(_text(labels - 8, y + step / 2, label, anchor="end"))
            for place, value in enumerate(row):
                if value is not None:
                    parts += _bar(labels, y + place * BAR, scale, value, place)
        zero = labels + scale(scale.origin) * (WIDTH - RIGHT)
        parts.append(_line(zero, TOP - 4, zero, height - FOOT, "axis"))
        return _document(self.title, self._description(), (labels + WIDTH, height), parts)

    def _legend(self, left: float) -> Iterator[str]:
        for number, name in enumerate(self.series):
            x = left + number * 150
            yield f'<rect class="s{number}" x="{x:.1f}" y="32" width="11" height="11"/>'
            yield _text(x + 17, 42, name)

    def _description(self) -> str:
        told = []
        for label, row in self.rows:
            values = [shown(value) for value in row if value is not None]
            names = self.series or [""]
            told.append(f"{label}: {', '.join(f'{name} {value}'.strip() for name, value in zip(names, values, strict=False))}")
        return f"{self.unit}. {'; '.join(told)}."


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, on axes from zero."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]

    def svg(self) -> str:
        """The chart."""
        most = [_round_up(max(point[axis] for point in self.points)) for axis in (0, 1)]
        bottom, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH

        def place(point: tuple[float, float]) -> tuple[float, float]:
            return LEFT + point[0] / most[0] * (right - LEFT), bottom - point[1] / most[1] * PLOT_HEIGHT

        parts = [_text(16, 42, self.y, "soft"), _text(right, bottom + 36, self.x, "soft", anchor="end")]
        for quarter in range(5):
            x, y = place((most[0] * quarter / 4, most[1] * quarter / 4))
            parts += [_line(LEFT, y, right, y, "grid"), _text(LEFT - 8, y + 4, shown(most[1] * quarter / 4), anchor="end")]
            parts.append(_text(x, bottom + 18, shown(most[0] * quarter / 4), anchor="middle"))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, self.points))
        parts += [f'<polyline class="line" points="{path}"/>', _line(LEFT, bottom, right, bottom, "axis")]
        told = "; ".join(f"{shown(x)}: {shown(y)}" for x, y in self.points)
        return _document(self.title, f"{self.y}, by {self.x}. {told}.", (right + MARGIN, bottom + 48), parts)


def shown(value: float) -> str:
    """A value in a few characters."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def _document(title: str, description: str, size: tuple[float, float], parts: Sequence[str]) -> str:
    width, height = size
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" \
aria-labelledby="title description">
<title id="title">{escape(title)}</title>
<desc id="description">{escape(description)}</desc>
<style>
{STYLE}
</style>
<rect class="back" width="{width:g}" height="{height:g}"/>
{_text(16, 22, title, "title")}
{chr(10).join(parts)}
</svg>
"""


class _Scale:
    """Where a value is, from 0 (left) to 1; on a scale of doublings if ``least`` is not zero. Bars begin at the ``origin``."""

    def __init__(self, least: float, most: float, origin: float = 0.0) -> None:
        self.origin = origin
        self._least = math.log2(least) if least else 0.0
        self._most = math.log2(most) if least else most
        self._doublings = bool(least)

    def __call__(self, value: float) -> float:
        place = math.log2(value) if self._doublings else value
        return (place - self._least) / (self._most - self._least)


def _from_zero(values: Sequence[float]) -> _Scale:
    return _Scale(0.0, max(values, default=1.0) or 1.0)


def _doublings(values: Sequence[float], around: float) -> _Scale:
    return _Scale(min(*values, around / 2), max(*values, around * 2), around)


def _bar(labels: float, y: float, scale: _Scale, value: float, series: int) -> Iterator[str]:
    origin, end = (labels + scale(one) * (WIDTH - RIGHT) for one in (scale.origin, value))
    left, right = sorted((origin, end))
    yield f'<rect class="s{series}" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{BAR - 2}"/>'
    yield _text(right + 5, y + BAR - 3, shown(value))


def _round_up(value: float) -> float:
    """The next number of one digit, of which the quarters are as short."""
    size: float = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * size for step in (1, 2, 4, 6, 8, 10, 20) if step * size >= value)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    more = "".join(f' {name}="{value}"' for name, value in (("class", kind), ("text-anchor", anchor)) if value)
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
