"""From the results of a run to what is said of them: medians, spread, ratios to the better peer, verdicts.

A run is what run.py writes with --json: {"machine", "versions", "options", "scenarios": [{"name", "what", "log",
"figures": [Figure as a dict], "results": {proxy: [a result a round]}}]}.
"""
import math
import statistics

OURS = "sallyport"
TIE = 0.15  # peers that are nearer to each other than this are equally good here


def values(scenario, figure, proxy):
    return [result[figure["key"]] for result in scenario["results"][proxy]]


def median(scenario, figure, proxy):
    return statistics.median(values(scenario, figure, proxy))


def spread(numbers):
    """Half the range, in percent of the median."""
    middle = statistics.median(numbers)
    return (max(numbers) - min(numbers)) / 2 / abs(middle) * 100 if middle else 0


def better_peer(scenario, figure):
    """Who of the others has the lower median; None if there are none."""
    peers = [name for name in scenario["results"] if name != OURS]
    return min(peers, key=lambda name: median(scenario, figure, name)) if peers else None


def ratios(scenario, figure, proxy):
    """To the better peer, round by round, so that what disturbs a whole round cancels out. [] where there are none."""
    peer = better_peer(scenario, figure)
    if peer is None or figure["absolute"]:
        return []
    pairs = zip(values(scenario, figure, proxy), values(scenario, figure, peer))
    return [mine / other for mine, other in pairs if other > 0 and not math.isnan(mine)]


def is_missed(scenario, figure):
    """Whether sallyport's target is missed; a figure that could not be had has missed it."""
    if figure["target"] is None or OURS not in scenario["results"]:
        return False
    if figure["absolute"]:
        return median(scenario, figure, OURS) > figure["target"]
    if better_peer(scenario, figure) is None:
        return False
    found = ratios(scenario, figure, OURS)
    return not found or statistics.median(found) > figure["target"]


def verdict(scenario, figure):
    """In words, of sallyport's figure."""
    if OURS not in scenario["results"]:
        return ""
    judged = figure["target"] is not None and (figure["absolute"] or better_peer(scenario, figure) is not None)
    words = ["missed" if is_missed(scenario, figure) else "met"] if judged else []
    found = ratios(scenario, figure, OURS)
    if found and abs(statistics.median(found) - 1) <= TIE:
        words.append("tie")
    return ", ".join(words)


def target_text(figure):
    if figure["target"] is None:
        return ""
    return f"{figure['target']:g}" if figure["absolute"] else f"≤ {figure['target']:.2f}"


def short(number):
    """Three digits that count, or all before the point."""
    if math.isnan(number):
        return "-"
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def errors(scenario):
    return sum(result["errors"] for results in scenario["results"].values() for result in results)
