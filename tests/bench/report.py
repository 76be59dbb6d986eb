#!/usr/bin/env python3
"""Brings the generated parts of a page up to date with a run: tables between markers, and a plot beside the page.

    tests/bench/report.py RUN.json docs/performance.md

A generated part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; what is around them is written by
hand and stays. The plot gets the page's name with .svg.
"""
import json
import re
import statistics
import sys
from pathlib import Path

import figures
import plot


def cell(scenario, figure, proxy):
    numbers = figures.values(scenario, figure, proxy)
    text = figures.short(statistics.median(numbers)) + (f" {figure['unit']}" if figure["unit"] else "")
    return f"{text} ±{figures.spread(numbers):.0f} %" if len(numbers) > 1 else text


def peers_of(done, scenario):
    return [name for name in done["versions"] if name in scenario["results"] and name != figures.OURS]


def ratio_cell(scenario, figure):
    found = figures.ratios(scenario, figure, figures.OURS)
    if not found:
        return ""
    span = f" ({min(found):.2f}–{max(found):.2f})" if len(found) > 1 else ""
    return f"**{statistics.median(found):.2f}**{span}"


def label(scenario, figure):
    many = len(scenario["figures"]) > 1
    return f"`{scenario['name']}`" + (f" {figure['what']}" if many else "")


def result_rows(done, log):
    for scenario in done["scenarios"]:
        if scenario["log"] != log or figures.OURS not in scenario["results"]:
            continue
        for figure in scenario["figures"]:
            peers = ", ".join(f"{name} {cell(scenario, figure, name)}" for name in peers_of(done, scenario))
            verdict = figures.verdict(scenario, figure)
            yield [label(scenario, figure), peers, cell(scenario, figure, figures.OURS), ratio_cell(scenario, figure),
                   figures.target_text(figure), verdict]


def latency_rows(done, log):
    for scenario in done["scenarios"]:
        if scenario["log"] != log:
            continue
        for proxy, results in scenario["results"].items():
            if "latency_us" not in results[0]:
                continue
            spots = [figures.short(statistics.median(r["latency_us"][key] for r in results)) for key in ("p50", "p90", "p99")]
            yield [f"`{scenario['name']}`", proxy, f"{statistics.median(r['per_second'] for r in results):,.0f}", *spots]


def markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def both_logs(title, head, rows_of):
    """A table without and one with the access log, of what there is."""
    found = [(words, list(rows_of(log))) for log, words in ((False, "without an access log"), (True, "with an access log"))]
    return "\n\n".join(f"{title} {words}:\n\n{markdown(head, rows)}" for words, rows in found if rows)


def others_text(done):
    """What the proxies' CPU did for somebody else while they were measured."""
    shares = [result["others"] for scenario in done["scenarios"] for results in scenario["results"].values()
              for result in results if "others" in result]
    return f" Meanwhile others took {statistics.median(shares):.0%} of the proxies' CPU (median)." if shares else ""


def machine_block(done):
    about, used = done["machine"], done["options"]
    versions = ", ".join(f"{name} {version}" for name, version in done["versions"].items())
    return (f"{about['date']}: {versions}; OpenSSL {about['openssl']}, {about['compiler']}; {about['system']}, kernel"
            f" {about['kernel']}; {about['cpus']} CPUs {about['cpu']}{' (a virtual machine)' if about['virtual'] else ''},"
            f" {about['memory_gb']} GB. {used['rounds']} round{'s' if used['rounds'] != 1 else ''} of {used['seconds']:g} s"
            f" a proxy and scenario{', `--quick`' if used['quick'] else ''}." + others_text(done))


def blocks(done, picture):
    return {
        "machine": machine_block(done),
        "plot": f"![Cost as a multiple of the better peer's]({picture})",
        "results": both_logs("CPU time an operation, memory, failures;",
                             ["scenario", "peers", "sallyport", "ratio to the better peer", "target", ""],
                             lambda log: result_rows(done, log)),
        "latency": both_logs("Operations a second (MB where a MB is the operation) and latency in µs,",
                             ["scenario", "proxy", "a second", "p50", "p90", "p99"],
                             lambda log: latency_rows(done, log)),
    }


def put(text, name, block):
    """The page with that generated part exchanged."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the page has no single place {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{block}\n{end}", text)


def update(page, done):
    picture = page.with_suffix(".svg")
    text = page.read_text()
    for name, block in blocks(done, picture.name).items():
        text = put(text, name, block)
    page.write_text(text)
    picture.write_text(plot.draw(done))


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: report.py RUN.json PAGE.md")
    update(Path(sys.argv[2]), json.loads(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
