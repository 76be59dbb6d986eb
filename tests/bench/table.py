"""A run on the terminal: a line a proxy and figure."""
import statistics

import figures

HEAD = (f"{'':<28}{'proxy':<11}{'median':>12}{'spread':>8}{'per s':>10}{'p50':>10}{'p90':>10}{'p99 µs':>10}"
        f"{'ratio (range)':>20}{'target':>9}  verdict")
NOTE = ("ratio: to the better of the others in this run, the median of the rounds' ratios; a ratio between 0.85 and 1.15 is a tie."
        "\nothers: what of the proxies' CPU somebody else took meanwhile.")


def latency(results):
    """p50, p90, p99 as medians of the rounds."""
    if "latency_us" not in results[0]:
        return ["", "", ""]
    return [f"{statistics.median(r['latency_us'][key] for r in results):.0f}" for key in ("p50", "p90", "p99")]


def line(scenario, figure, proxy):
    results = scenario["results"][proxy]
    numbers = figures.values(scenario, figure, proxy)
    per_second = statistics.median(r["per_second"] for r in results) if "per_second" in results[0] else None
    found = figures.ratios(scenario, figure, proxy)
    ratio = f"{statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})" if found else ""
    p50, p90, p99 = latency(results)
    ours = proxy == figures.OURS
    median = f"{figures.short(statistics.median(numbers))} {figure['unit']}"
    return (f"{'':<28}{proxy:<11}{median:>12}{f'±{figures.spread(numbers):.0f}%':>8}"
            f"{f'{per_second:,.0f}' if per_second else '':>10}{p50:>10}{p90:>10}{p99:>10}{ratio:>20}"
            f"{figures.target_text(figure) if ours else '':>9}  {figures.verdict(scenario, figure) if ours else ''}").rstrip()


def block(scenario):
    """What is printed of one scenario."""
    others = [r["others"] for results in scenario["results"].values() for r in results if "others" in r]
    notes = [f"errors {figures.errors(scenario)}"] if figures.errors(scenario) else []
    notes += [f"others {statistics.median(others):.0%}"] if others else []
    title = scenario["name"] + (" +log" if scenario["log"] else "")
    lines = []
    for number, figure in enumerate(scenario["figures"]):
        what = scenario["what"] if number == 0 else ""
        if len(scenario["figures"]) > 1:
            what += f"{': ' if what else ''}{figure['what']}"
        head = f"{title if number == 0 else '':<28}{what}"
        lines.append(head + (f"  [{'; '.join(notes)}]" if notes and number == 0 else ""))
        lines += [line(scenario, figure, proxy) for proxy in scenario["results"]]
    return "\n".join(lines)
