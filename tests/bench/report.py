#!/usr/bin/env python3
"""Brings the generated parts of a page up to date with a run: tables between markers (page.py), and a plot beside the page.

    tests/bench/report.py RUN.json docs/performance.md

RUN.json is what run.py, growth.py or isolation.py wrote with --json. The plot gets the page's name with .svg, that of
growth.py is growth.svg.
"""
import json
import statistics
import sys
from pathlib import Path

import figures
import growth_page
import isolation_page
import page as pages
import plot
from page import markdown


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


def both_logs(title, head, rows_of):
    """A table without and one with the access log, of what there is."""
    found = [(words, list(rows_of(log))) for log, words in ((False, "without an access log"), (True, "with an access log"))]
    return "\n\n".join(f"{title} {words}:\n\n{markdown(head, rows)}" for words, rows in found if rows)


def machine_block(done):
    used = done["options"]
    shares = [result["others"] for scenario in done["scenarios"] for results in scenario["results"].values()
              for result in results if "others" in result]
    return (f"{pages.machine_line(done)} {used['rounds']} round{'s' if used['rounds'] != 1 else ''} of {used['seconds']:g} s"
            f" a proxy and scenario{', `--quick`' if used['quick'] else ''}.{pages.others_text(shares)}")


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


def update(page, done):
    picture = page.with_suffix(".svg")
    pages.write(page, blocks(done, picture.name))
    picture.write_text(plot.draw(done))


UPDATES = {"run": update, "growth": growth_page.update, "isolation": isolation_page.update}


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: report.py RUN.json PAGE.md")
    done = json.loads(Path(sys.argv[1]).read_text())
    UPDATES[done.get("kind", "run")](Path(sys.argv[2]), done)


if __name__ == "__main__":
    main()
