#!/usr/bin/env python3
"""Draws what `cargo bench -- scale` printed: rate, latency and memory against the number of devices.

    cargo bench -- scale > scale.txt
    python3 benches/plots.py scale.txt docs/plots

Writes rate.svg, latency.svg and memory.svg into the folder, each for light and dark pages.
Needs nothing but Python.
"""

import math
import pathlib
import re
import sys

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 72, 36, 64, 52

# A figure of a number of devices: what it is, then dispatch, ±%, what it is compared with.
ROW = re.compile(r"^(\d+) devices(.*?: .*?)\s+([\d.]+)\s+\S+\s+([\d.]+)\s+\S+\s")
HEADER = re.compile(r"^median of all runs.*\sdispatch\s+±%\s+(\w+)\s")

# File, title, and the lines: the words of the row, and what the legend adds to the relay's name.
PLOTS = [
    ("rate.svg", "Thousand messages of 64 B a second, flat out", [(": thousand messages/s", "")]),
    (
        "latency.svg",
        "Microseconds from device to driver, 10,000 messages a second",
        [(", 10,000/s: p99 µs", ", p99"), (", 10,000/s: p50 µs", ", p50")],
    ),
    ("memory.svg", "Bytes of memory for each device", [(": bytes/device", "")]),
]

STYLE = """
svg { --page: #ffffff; --ink: #1f2328; --faint: #d0d7de; --ours: #0969da; --theirs: #9a6700; }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --ink: #e6edf3; --faint: #30363d; --ours: #58a6ff; --theirs: #d29922; }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; }
.page { fill: var(--page); }
.grid { stroke: var(--faint); stroke-width: 1; }
.ours { --colour: var(--ours); }
.theirs { --colour: var(--theirs); }
polyline, .key { fill: none; stroke: var(--colour); stroke-width: 2; }
.dashed { stroke-dasharray: 6 4; }
circle { fill: var(--colour); }
"""


def read(lines):
    """The name of what dispatch is compared with, and the figures: words -> devices -> pair."""
    other, figures = "baseline", {}
    for line in lines:
        if header := HEADER.match(line):
            other = header[1]
        elif row := ROW.match(line):
            devices, words = int(row[1]), row[2].strip()
            figures.setdefault(words, {})[devices] = (float(row[3]), float(row[4]))
    return other, figures


def steps(most):
    """Round numbers from zero to at least the largest figure."""
    size = 10 ** math.floor(math.log10(most)) if most > 0 else 1
    step = next(size * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if most <= size * part * 6)
    return [step * nth for nth in range(math.ceil(most / step) + 1)]


def label(figure):
    return f"{figure:,.0f}" if figure >= 10 or figure == int(figure) else f"{figure:g}"


def decades(least, most):
    """Powers of ten around the figures."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10**power for power in range(first, max(last, first + 1) + 1)]


class Scale:
    """Where a figure of a number of devices is drawn."""

    def __init__(self, numbers, rows):
        self.numbers = sorted(numbers)
        self.rows = rows
        first, last = math.log10(self.numbers[0]), math.log10(self.numbers[-1])
        self.first, self.span = first, (last - first) or 1

    def x(self, devices):
        part = (math.log10(devices) - self.first) / self.span
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, figure):
        return HEIGHT - BOTTOM - self.part(figure) * (HEIGHT - TOP - BOTTOM)

    def part(self, figure):
        """How far up it is: from zero in proportion, from elsewhere by its logarithm."""
        low, high = self.rows[0], self.rows[-1]
        return math.log(figure / low) / math.log(high / low) if low > 0 else figure / high


def axes(scale):
    for figure in scale.rows:
        y = scale.y(figure)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label(figure)}</text>'
    for devices in scale.numbers:
        x, y = scale.x(devices), HEIGHT - BOTTOM + 20
        yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{label(devices)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">devices</text>'


def curve(scale, points, kind, dashed):
    """A line through the points: devices -> figure."""
    places = [(scale.x(devices), scale.y(figure)) for devices, figure in sorted(points.items())]
    along = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="{kind}{" dashed" * dashed}" points="{along}"/>'
    for x, y in places:
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def legend(nth, name, kind, dashed):
    x = LEFT + nth * 138
    yield f'<line class="key {kind}{" dashed" * dashed}" x1="{x}" y1="44" x2="{x + 24}" y2="44"/>'
    yield f'<text x="{x + 30}" y="48">{name}</text>'


def draw(title, other, lines):
    """An SVG of the lines: what the legend adds, and devices -> pair of figures."""
    all_figures = [figure for _, points in lines for pair in points.values() for figure in pair]
    least, most = min(all_figures), max(all_figures)
    # Where figures are of several sizes, the small ones would lie on the axis.
    rows = decades(least, most) if 0 < least < most / 30 else steps(most)
    scale = Scale({devices for _, points in lines for devices in points}, rows)
    parts = list(axes(scale))
    for dashed, (added, points) in enumerate(lines):
        for nth, (kind, name) in enumerate([("ours", "dispatch"), ("theirs", other)]):
            figures = {devices: pair[nth] for devices, pair in points.items()}
            parts += curve(scale, figures, kind, dashed)
            parts += legend(2 * dashed + nth, name + added, kind, dashed)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="26">{title}</text>',
        *parts,
        "</svg>\n",
    ])


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    with open(arguments[0], encoding="utf-8") as printed:
        other, figures = read(printed)
    folder = pathlib.Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, title, lines in PLOTS:
        missing = [words for words, _ in lines if words not in figures]
        if missing:
            sys.exit(f"{arguments[0]} has no rows {missing[0]!r}; print them by `cargo bench -- scale`")
        drawn = draw(title, other, [(added, figures[words]) for words, added in lines])
        (folder / file).write_text(drawn, encoding="utf-8")
        print(folder / file)


if __name__ == "__main__":
    main(sys.argv[1:])
