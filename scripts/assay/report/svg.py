"""Draws small charts as SVG, whose texts can be searched, selected and read aloud.

A series is told apart by color, marker and a label beside it; colors are those of ``assay.workflow.plots``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from assay.workflow.plots import COLORS

INK, MUTED, GRID = "#1c2733", "#5a6673", "#e4e9ee"
LEFT, RIGHT, BOTTOM = 58.0, 18.0, 44.0
FONTS = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


@dataclass(frozen=True)
class Axis:
    """A scale from data to pixels.

    Attributes:
        label: the quantity and its unit.
        low, high: the ends, in units of the data; both are positive if the axis is logarithmic.
        log: whether the axis is logarithmic.
    """

    label: str
    low: float
    high: float
    log: bool = False

    def fraction(self, value: float) -> float:
        """Return where a value lies between the ends, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """List round values inside the ends: 1-2-5 steps, and decades or even steps on a logarithmic axis."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            inside = [v for v in every if self.low <= v * (1 + 1e-9) and v <= self.high * (1 + 1e-9)]
            if len(inside) > 7:
                return [v for v in inside if math.log10(v) % 1 < 1e-6] or inside
            if len(inside) > 1 or self.high > 10 * self.low:
                return inside
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def spanning(label: str, values: Sequence[float], *, log: bool = False, zero: bool = False) -> Axis:
    """Make an axis that holds all values with some room, from zero if asked for."""
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** 0.12, 1.25)
        return Axis(label, low / room, high * room, log=True)
    if zero:
        return Axis(label, 0.0, high * 1.12 or 1.0)
    room = 0.1 * (high - low) or abs(high) or 1.0
    return Axis(label, low - room, high + room)


@dataclass
class Chart:
    """Two axes, and marks that are added one by one; ``top`` is the room above the plot, in pixels."""

    x: Axis
    y: Axis
    title: str
    width: float = 520.0
    height: float = 310.0
    top: float = 14.0
    marks: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixels of a point that is given in units of the data."""
        return (
            LEFT + self.x.fraction(x) * (self.width - LEFT - RIGHT),
            self.height - BOTTOM - self.y.fraction(y) * (self.height - self.top - BOTTOM),
        )

    def line(self, points: Sequence[tuple[float, float]], color: str, dash: str = "", width: float = 2.0) -> None:
        """Add a polyline through points that are given in units of the data."""
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (self.at(*point) for point in points))
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.marks.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"{dashes}/>')

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Add a row above the plot that says what each shape means."""
        left = LEFT
        for shape, name in entries:
            style = f'fill="{MUTED}" fill-opacity="0.3" stroke="{MUTED}"'
            self.marks.append(_shape(shape, left + 5, 11, 5, style))
            self.marks.append(text(left + 15, 15, name, color=MUTED))
            left += 34 + 7.2 * len(name)

    def marker(self, x: float, y: float, shape: str, color: str, radius: float, tip: str, solid: bool = True) -> None:
        """Add a marker with a tooltip; ``shape`` is circle, square, diamond or triangle."""
        px, py = self.at(x, y)
        fill = f'fill="{color}" fill-opacity="{0.85 if solid else 0.12}" stroke="{color}" stroke-width="2"'
        self.marks.append(f"<g><title>{escape(tip)}</title>{_shape(shape, px, py, radius, fill)}</g>")

    def label(self, x: float, y: float, content: str, dx: float = 0.0, dy: float = 0.0, color: str = INK) -> None:
        """Add a text centered at a point, kept inside the frame."""
        px, py = self.at(x, y)
        half = 3.4 * len(content)
        inside = min(max(px + dx, LEFT + half), self.width - 4 - half)
        self.marks.append(text(inside, max(py + dy, self.top), content, anchor="middle", color=color))

    def render(self) -> str:
        """Return the SVG element."""
        body = "".join([*self._frame(), *self.marks])
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'font-family="{FONTS}" aria-label="{escape(self.title)}" xmlns="http://www.w3.org/2000/svg">{body}</svg>'
        )

    def _frame(self) -> list[str]:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = []
        for value in self.y.ticks():
            _, py = self.at(self.x.low, value)
            parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{py:.1f}" y2="{py:.1f}" stroke="{GRID}"/>')
            parts.append(text(LEFT - 7, py + 4, _tick(value), anchor="end", size=11, color=MUTED))
        for value in self.x.ticks():
            px, _ = self.at(value, self.y.low)
            parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="{MUTED}"/>')
            parts.append(text(px, bottom + 18, _tick(value), anchor="middle", size=11, color=MUTED))
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="{MUTED}"/>')
        parts.append(text((LEFT + right) / 2, self.height - 7, self.x.label, anchor="middle", size=12, color=INK))
        middle = (self.top + bottom) / 2
        parts.append(
            f'<text transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle" font-size="12" '
            f'fill="{INK}">{escape(self.y.label)}</text>'
        )
        return parts


def text(
    x: float, y: float, content: str, *, anchor: str = "start", size: float = 12, color: str = INK, weight: str = "400"
) -> str:
    """Return one text element."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{color}" '
        f'font-weight="{weight}">{escape(content)}</text>'
    )


def _tick(value: float) -> str:
    """Write a round number, thousands as k and M."""
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def color_of(index: int) -> str:
    """Return the color of the variant with this index, the same in every chart."""
    return COLORS[index % len(COLORS)]


def _shape(shape: str, x: float, y: float, r: float, style: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" {style}/>'
    corners = {
        "square": ((-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        "triangle": ((0, -1.3), (1.15, 0.8), (-1.15, 0.8)),
    }[shape]
    points = " ".join(f"{x + r * cx:.1f},{y + r * cy:.1f}" for cx, cy in corners)
    return f'<polygon points="{points}" {style}/>'


def _round_step(step: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))
