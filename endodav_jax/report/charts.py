"""Charts as inline SVG: bars with intervals, and lines (curves, trajectories).  Colours follow the page's style."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from endodav_jax.report.page import Block

COLOURS = 6  # that the style has

_WIDTH = 330
_ROW = 20
Points = Sequence[float] | np.ndarray

_LETTER = 7.4  # pixels of the style's 12 pixel font, on average


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    title: str,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    unit: str = "",
) -> Block:
    """Horizontal bars from 0: for each label one bar per series, with its value at the end.

    Args:
      labels: of the groups, N.
      series: name -> N values, not negative; NaN is "-".
      title: above the chart.
      intervals: name -> N (low, high), drawn as whiskers where finite.
      unit: of the values.
    """
    intervals = intervals or {}
    known = [value for values in series.values() for value in values if math.isfinite(value)]
    known += [end for ends in intervals.values() for pair in ends for end in pair if math.isfinite(end)]
    left = 12 + _LETTER * max((len(label) for label in labels), default=0)
    span = _WIDTH - 70.0
    scale = span / max([*known, 1e-12])
    height = len(labels) * (len(series) * _ROW + 8) + 4
    parts = []
    y = 4.0
    for n, label in enumerate(labels):
        middle = y + len(series) * _ROW / 2
        parts.append(f'<text x="{left - 8:.1f}" y="{middle + 4:.1f}" text-anchor="end">{html.escape(label)}</text>')
        for number, (name, values) in enumerate(series.items()):
            low, high = intervals[name][n] if name in intervals else (math.nan, math.nan)
            parts.append(_bar(left, y, values[n], scale, number, low, high))
            y += _ROW
        y += 8
    parts.append(f'<line class="rule" x1="{left:.1f}" y1="0" x2="{left:.1f}" y2="{height}"/>')
    heading = f"{title} ({unit})" if unit else title
    return _figure(heading, _svg(left + _WIDTH, height, parts, heading), list(series) if len(series) > 1 else [])


def lines(
    series: Mapping[str, tuple[Points, Points]],
    title: str,
    x_label: str,
    y_label: str,
    equal: bool = False,
    size: tuple[int, int] = (420, 260),
) -> Block:
    """Lines through points.

    Args:
      series: name -> (x, y); points with NaN are left out.  A single one of the chart's own name needs no legend.
      title: above the chart.
      x_label, y_label: of the axes.
      equal: one scale for both axes, as a map has.
      size: width and height of the plot in pixels.
    """
    points = {}
    for name, (x, y) in series.items():
        pairs = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)
        points[name] = pairs[np.isfinite(pairs).all(axis=1)]
    every = np.concatenate([*points.values(), np.zeros((0, 2))])
    low, high = (every.min(0), every.max(0)) if len(every) else (np.zeros(2), np.ones(2))
    margin = np.maximum(0.04 * (high - low), 1e-9 * np.maximum(np.abs(high), 1) + 1e-12)
    low, high = low - margin, high + margin
    if equal:
        unit = max((high - low) / size)
        spread = (unit * np.array(size) - (high - low)) / 2
        low, high = low - spread, high + spread
    left, top, (width, height) = 62, 8, size

    def place(pairs: np.ndarray) -> np.ndarray:
        share = (pairs - low) / (high - low)
        return np.stack([left + share[:, 0] * width, top + (1 - share[:, 1]) * height], axis=1)

    parts = []
    for value in _ticks(low[0], high[0]):
        ((x, _),) = place(np.array([[value, low[1]]]))
        parts.append(f'<line class="rule" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + height}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{top + height + 15}" text-anchor="middle">{value:.6g}</text>')
    for value in _ticks(low[1], high[1]):
        ((_, y),) = place(np.array([[low[0], value]]))
        parts.append(f'<line class="rule" x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for number, pairs in enumerate(points.values()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in place(pairs)) if len(pairs) else ""
        colour = f"var(--c{number % COLOURS})"
        parts.append(f'<polyline points="{path}" fill="none" style="stroke:{colour}" stroke-width="2"/>')
        if equal and len(pairs):  # where a trajectory begins
            x, y = place(pairs[:1])[0]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:{colour}"/>')
    middle, below = left + width / 2, top + height + 32
    parts.append(f'<text class="soft" x="{middle}" y="{below}" text-anchor="middle">{html.escape(x_label)}</text>')
    parts.append(
        f'<text class="soft" transform="translate(12 {top + height / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text>"
    )
    names = [] if list(points) == [title] else list(points)
    return _figure(title, _svg(left + width + 14, top + height + 40, parts, title), names)


def paths_from_two_sides(places: Mapping[str, np.ndarray], title: str, unit: str) -> list[Block]:
    """Paths of a camera seen from above and from the front.

    Args:
      places: name -> positions [N,3], x right, y down, z forward.
      title: of both charts, which add the side.
      unit: of the positions.
    """
    charts = []
    for (first, second), side in (((0, 2), "from above"), ((0, 1), "from the front")):
        series = {name: (path[:, first], path[:, second]) for name, path in places.items()}
        x_label, y_label = f"{'xyz'[first]}, {unit}", f"{'xyz'[second]}, {unit}"
        charts.append(lines(series, f"{title}, {side}", x_label, y_label, equal=True, size=(320, 240)))
    return charts


def _bar(left: float, y: float, value: float, scale: float, number: int, low: float, high: float) -> str:
    if not math.isfinite(value):
        return f'<text class="soft" x="{left + 6:.1f}" y="{y + 14:.1f}">-</text>'
    end = left + value * scale
    colour = f"var(--c{number % COLOURS})"
    size = f'width="{max(end - left, 0.5):.1f}" height="{_ROW - 6}"'
    drawn = f'<rect x="{left:.1f}" y="{y + 3:.1f}" {size} style="fill:{colour}"/>'
    reach = end
    if math.isfinite(low) and math.isfinite(high):
        first, last, middle = left + max(low, 0) * scale, left + high * scale, y + _ROW / 2
        drawn += f'<line class="whisker" x1="{first:.1f}" y1="{middle:.1f}" x2="{last:.1f}" y2="{middle:.1f}"/>'
        reach = max(reach, last)
    return drawn + f'<text x="{reach + 6:.1f}" y="{y + 14:.1f}">{value:.4g}</text>'


def _ticks(low: float, high: float) -> np.ndarray:
    """Returns about five round numbers between two ends."""
    rough = (high - low) / 5
    step = 10.0 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return np.arange(first, last + 1) * step


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
    )


def _figure(title: str, svg: str, names: Sequence[str]) -> Block:
    key = "".join(
        f'<span><i style="background:var(--c{number % COLOURS})"></i>{html.escape(name)}</span>'
        for number, name in enumerate(names)
    )
    legend = f'<div class="key">{key}</div>' if key else ""
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{legend}{svg}</figure>"
