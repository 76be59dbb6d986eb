"""The plot of a run as SVG: grouped horizontal bars, a group a figure, each a multiple of the better peer's; what
sallyport may be at most is a mark. Colours follow the reader's light or dark scheme.
"""
import statistics
from xml.sax.saxutils import escape

import figures

WIDTH, LEFT, RIGHT = 860, 270, 50
TOP, BAR, GAP, GROUP_GAP = 66, 9, 2, 12
LONGEST = 1.6  # of what is longer the bar is cut, and a number tells

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.soft { fill: #59636e; font-size: 11px; }
.head { font-size: 14px; font-weight: 600; }
.axis { stroke: #d1d9e0; }
.one { stroke: #59636e; }
.peer0 { fill: #8c959f; } .peer1 { fill: #c4cbd2; } .ours { fill: #0969da; }
.target { stroke: #bc4c00; stroke-width: 2; }
.strong { font-weight: 600; }
.cut { fill: #1f2328; font-size: 9px; }
@media (prefers-color-scheme: dark) {
  text, .cut { fill: #f0f6fc; }
  .soft { fill: #9198a1; }
  .axis { stroke: #3d444d; }
  .one { stroke: #9198a1; }
  .peer0 { fill: #7d8590; } .peer1 { fill: #4d555e; } .ours { fill: #4493f8; }
  .target { stroke: #f0883e; }
}"""


def place(ratio):
    return LEFT + (WIDTH - LEFT - RIGHT) * min(ratio, LONGEST) / LONGEST


def bar(ratio, y, kind, name):
    """Its number where the pointer is; one that is cut says it."""
    end = place(max(ratio, 0))
    number = f'<text class="cut" x="{end - 4:.1f}" y="{y + BAR - 1}" text-anchor="end">{ratio:.1f}</text>'
    return (f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" rx="1.5">'
            f"<title>{escape(name)}: {ratio:.2f}</title></rect>" + (number if ratio > LONGEST else ""))


def group(label, bars, target, y):
    """`bars`: (name, kind, ratio). The lines, and where the next group begins."""
    height = len(bars) * (BAR + GAP) - GAP
    lines = [f'<text x="{LEFT - 10}" y="{y + height / 2 + 4:.1f}" text-anchor="end">{escape(label)}</text>']
    for number, (name, kind, ratio) in enumerate(bars):
        lines.append(bar(ratio, y + number * (BAR + GAP), kind, name))
        if kind == "ours":
            lines.append(f'<text class="strong" x="{WIDTH - 8}" y="{y + height / 2 + 4:.1f}" text-anchor="end">{ratio:.2f}</text>')
    if target is not None:
        x = place(target)
        lines.append(f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + height + 3}">'
                     f"<title>target: {target:.2f}</title></line>")
    return lines, y + height + GROUP_GAP


def groups(done):
    """(label, bars, target) of every figure that has a ratio, but for those that are only told beside others."""
    for scenario in done["scenarios"]:
        if scenario["log"] or figures.OURS not in scenario["results"]:
            continue
        for figure in scenario["figures"]:
            if figure["target"] is None and len(scenario["figures"]) > 1:
                continue
            bars = []
            peers = [name for name in scenario["results"] if name != figures.OURS]
            for name in (figures.OURS, *peers):
                found = figures.ratios(scenario, figure, name)
                kind = "ours" if name == figures.OURS else f"peer{0 if name in ('nginx', 'hitch') else 1}"
                if found:
                    bars.append((name, kind, statistics.median(found)))
            if peers and bars:
                what = figure["what"].split(",")[0] if len(scenario["figures"]) > 1 else ""
                yield f"{scenario['name']} {what}".strip(), bars, figure["target"]


def legend():
    x, parts = LEFT, []
    for kind, words in (("ours", "sallyport"), ("peer0", "nginx (L4: hitch)"), ("peer1", "HAProxy")):
        parts.append(f'<rect class="{kind}" x="{x}" y="34" width="10" height="10" rx="1.5"/>'
                     f'<text class="soft" x="{x + 15}" y="43">{words}</text>')
        x += 40 + 7 * len(words)
    parts.append(f'<line class="target" x1="{x}" x2="{x}" y1="33" y2="45"/><text class="soft" x="{x + 7}" y="43">target</text>')
    return parts


def draw(done):
    body, y = [], TOP
    for label, bars, target in groups(done):
        lines, y = group(label, bars, target, y)
        body += lines
    bottom = y - GROUP_GAP + 6
    grid = []
    for step in (0, 0.5, 1, 1.5):
        x = place(step)
        grid.append(f'<line class="{"one" if step == 1 else "axis"}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>'
                    f'<text class="soft" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{step:g}</text>')
    grid.append(f'<text class="soft" x="{WIDTH - 8}" y="{TOP - 14}" text-anchor="end">sallyport</text>')
    title = "Cost as a multiple of the better peer's (shorter is better)"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" width="{WIDTH}" height="{bottom + 24}"'
        f' role="img" aria-label="{escape(title)}">',
        f"<style>\n{STYLE}\n</style>",
        f'<text class="head" x="{LEFT}" y="20">{escape(title)}</text>',
        *legend(), *grid, *body, "</svg>", ""])
