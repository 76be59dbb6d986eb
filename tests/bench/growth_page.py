"""What growth.py has measured, as a page shows it: a table a curve, with the reason beside it, and small multiples as SVG.

In the SVG all panels have the same two logarithmic axes: across, how many times more there is than at the first point, up, how
many times more it costs. Flat is flat, what is dashed is proportional. Colours follow the reader's light or dark scheme.
"""
import math
import statistics
from xml.sax.saxutils import escape

import page as pages

PANEL_WIDTH, PANEL_HEIGHT, ACROSS = 200, 110, 3
LEFT, TOP, COLUMN_STEP, ROW_STEP = 52, 64, 286, 262
LOWEST = 0.5
COLOURS = {"GET, µs": 0, "start, CPU s": 1, "memory, MiB": 2, "KiB a connection": 2, "handshake, µs": 3, "of a new client, µs": 4}
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.soft { fill: #59636e; font-size: 11px; }
.head { font-size: 14px; font-weight: 600; }
.strong { font-weight: 600; }
.axis { stroke: #d1d9e0; }
.one { stroke: #59636e; }
.proportional { stroke: #8c959f; stroke-dasharray: 3 3; fill: none; }
.line { fill: none; stroke-width: 2; }
.c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #1a7f37; } .c3 { stroke: #8250df; } .c4 { stroke: #bf3989; }
.d0 { fill: #0969da; } .d1 { fill: #bc4c00; } .d2 { fill: #1a7f37; } .d3 { fill: #8250df; } .d4 { fill: #bf3989; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .soft { fill: #9198a1; }
  .axis { stroke: #3d444d; }
  .one { stroke: #9198a1; }
  .proportional { stroke: #7d8590; }
  .c0 { stroke: #4493f8; } .c1 { stroke: #f0883e; } .c2 { stroke: #3fb950; } .c3 { stroke: #ab7df8; } .c4 { stroke: #f778ba; }
  .d0 { fill: #4493f8; } .d1 { fill: #f0883e; } .d2 { fill: #3fb950; } .d3 { fill: #ab7df8; } .d4 { fill: #f778ba; }
}"""


def columns_of(curve):
    return list(curve["points"][0]["figures"])


def value(point, column):
    return statistics.median(point["figures"][column])


def grown(curve, column):
    """At each point, over the first."""
    first = value(curve["points"][0], column)
    return [value(point, column) / first if first else 1.0 for point in curve["points"]]


def short(number):
    return f"{number:,.1f}" if number >= 10 else f"{number:.2f}"


# ---- tables ----

def table(curve):
    columns = columns_of(curve)
    rows = [[f"{point['at']:,}", *(short(value(point, c)) for c in columns)] for point in curve["points"]]
    if len(curve["points"]) > 1:
        times = curve["points"][-1]["at"] / curve["points"][0]["at"]
        rows.append([f"{times:,.0f} times as many", *(f"× {grown(curve, c)[-1]:.2f}" for c in columns)])
    return pages.markdown([curve["name"], *columns], rows)


def block(curve):
    parts = [f"### {curve['name'].capitalize()}"] if curve["name"] != "CRL entries" else ["### CRL entries"]
    parts += [table(curve)] if curve["points"] else []
    parts += [f"Not measured: {missing['at']:,}, for {missing['why']}." for missing in curve["missing"]]
    return "\n\n".join([*parts, curve["why"]])


def about(done):
    used = done["options"]
    return (f"{pages.machine_line(done)} Medians of {used['rounds']} slices of {used['seconds']:g} s, all points of a curve in turns."
            + pages.others_text([share for curve in done["curves"] for share in curve["others"]]))


def text(done):
    return "\n\n".join(block(curve) for curve in done["curves"])


# ---- the picture ----

class Panel:
    """Where things are in one of the small pictures."""

    def __init__(self, curve, number, across, up):
        self.curve, self.across, self.up = curve, across, up
        self.x, self.y = LEFT + number % ACROSS * COLUMN_STEP, TOP + number // ACROSS * ROW_STEP

    def at(self, times_more, times_dearer):
        share = math.log(times_more) / math.log(self.across)
        height = math.log(max(times_dearer, LOWEST) / LOWEST) / math.log(self.up / LOWEST)
        return self.x + share * PANEL_WIDTH, self.y + (1 - height) * PANEL_HEIGHT

    def grid(self):
        lines = [f'<text class="strong" x="{self.x}" y="{self.y - 8}">{escape(self.curve["name"])}</text>']
        step = 1
        while step <= self.up:
            y = self.at(1, step)[1]
            lines.append(f'<line class="{"one" if step == 1 else "axis"}" x1="{self.x}" x2="{self.x + PANEL_WIDTH}" y1="{y:.1f}"'
                         f' y2="{y:.1f}"/><text class="soft" x="{self.x - 6}" y="{y + 4:.1f}" text-anchor="end">{step}×</text>')
            step *= 10
        far = min(self.across, self.up)
        (x1, y1), (x2, y2) = self.at(1, 1), self.at(far, far)
        return [*lines, f'<path class="proportional" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>']

    def labels(self, times):
        """Below the points, as many as there is room for."""
        lines, end = [], -math.inf
        for point, more in zip(self.curve["points"], times):
            x, words = self.at(more, 1)[0], label(point["at"])
            half = 3.5 * len(words) + 2
            if x - half >= end:
                lines.append(f'<text class="soft" x="{x:.1f}" y="{self.y + PANEL_HEIGHT + 15}" text-anchor="middle">{words}</text>')
                end = x + half
        return lines

    def line(self, number, column, times):
        dots = [self.at(more, dearer) for more, dearer in zip(times, grown(self.curve, column))]
        first, last = value(self.curve["points"][0], column), value(self.curve["points"][-1], column)
        path, colour = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots), COLOURS[column]
        y = self.y + PANEL_HEIGHT + 34 + 16 * number
        return [f'<polyline class="line c{colour}" points="{path}"/>',
                *(f'<circle class="d{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in dots),
                f'<rect class="d{colour}" x="{self.x}" y="{y - 8}" width="9" height="9" rx="1.5"/>'
                f'<text class="soft" x="{self.x + 14}" y="{y}">{escape(column)}: {short(first)} to {short(last)}</text>']

    def draw(self):
        first = self.curve["points"][0]["at"]
        times = [point["at"] / first for point in self.curve["points"]]
        lines = self.grid() + self.labels(times)
        for number, column in enumerate(columns_of(self.curve)):
            lines += self.line(number, column, times)
        return lines


def label(number):
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def draw(done):
    curves = [curve for curve in done["curves"] if len(curve["points"]) > 1]
    across = max(curve["points"][-1]["at"] / curve["points"][0]["at"] for curve in curves)
    up = 1.15 * max(10.0, *(ratio for curve in curves for column in columns_of(curve) for ratio in grown(curve, column)))
    width, height = LEFT + ACROSS * COLUMN_STEP - 30, TOP + (len(curves) + ACROSS - 1) // ACROSS * ROW_STEP - 40
    title = "How many times dearer, where there is how many times more"
    body = [line for number, curve in enumerate(curves) for line in Panel(curve, number, across, up).draw()]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{escape(title)}">',
        f"<style>\n{STYLE}\n</style>",
        f'<text class="head" x="{LEFT}" y="20">{escape(title)}</text>',
        f'<text class="soft" x="{LEFT}" y="36">both axes logarithmic and the same in all; dashed: in proportion</text>',
        *body, "</svg>", ""])


def update(page, done):
    picture = page.with_name("growth.svg")
    pages.write(page, {"growth": f"{about(done)}\n\n![How cost grows]({picture.name})\n\n{text(done)}"})
    picture.write_text(draw(done))
