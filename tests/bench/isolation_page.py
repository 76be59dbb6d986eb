"""What isolation.py has measured, as lines of tables: on the terminal, and between the marks of a page.

A latency is the median of the slices' percentiles, of all rounds, so that one bad second decides no row; what it has grown by is
that of both medians, and in brackets from the least to the largest of a round.
"""
import statistics

import page as pages

MEDIAN_BAR, P99_BAR, SHARE_BAR = 1.5, 2.0, 0.20
WAYS_HEAD = ["meanwhile", "proxy", "quiet p50 / p99, µs", "under it, µs", "p50 grown by", "p99 grown by", "within 1.5 / 2",
             "CPU busy", "how much of it", "errors"]
ROUND_HEAD = ["new clients while requests take all the CPU", "handshakes/s alone", "meanwhile", "requests/s beside them",
              "p50 / p99 of getting in, ms", "the gates' share of the proxy's CPU", "CPU busy", "errors"]


def middle(results, *keys):
    def dig(result):
        for key in keys:
            result = result[key]
        return result
    return statistics.median(map(dig, results))


def at(rounds, when, spot):
    """The median of all slices."""
    return statistics.median(one[spot] for result in rounds for one in result[when])


def growths(rounds, spot):
    """(of the medians, of each round)."""
    return at(rounds, "under", spot) / at(rounds, "quiet", spot), [
        at([result], "under", spot) / at([result], "quiet", spot) for result in rounds]


def is_met(rounds):
    return growths(rounds, "p50")[0] <= MEDIAN_BAR and growths(rounds, "p99")[0] <= P99_BAR


def grown(rounds, spot):
    whole, each = growths(rounds, spot)
    span = f" ({short(min(each))}–{short(max(each))})" if len(each) > 1 else ""
    return f"**{short(whole)}**{span}"


def short(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"


def way_row(way, name):
    rounds = way["results"][name]
    return [way["what"], name, f"{at(rounds, 'quiet', 'p50'):,.0f} / {at(rounds, 'quiet', 'p99'):,.0f}",
            f"{at(rounds, 'under', 'p50'):,.0f} / {at(rounds, 'under', 'p99'):,.0f}", grown(rounds, "p50"), grown(rounds, "p99"),
            "yes" if is_met(rounds) else "no", f"{middle(rounds, 'busy'):.0%}", rounds[-1]["told"],
            str(sum(result["errors"] for result in rounds))]


def round_row(name, results):
    return [name, f"{middle(results, 'alone'):,.0f}", f"{middle(results, 'came'):,.0f}", f"{middle(results, 'asked'):,.0f}",
            f"{middle(results, 'latency_us', 'p50') / 1000:.1f} / {middle(results, 'latency_us', 'p99') / 1000:.1f}",
            f"{middle(results, 'gates'):.0%}" if name == "sallyport" else "", f"{middle(results, 'busy'):.0%}",
            str(sum(result["errors"] for result in results))]


def blocks(done):
    used = done["options"]
    about = (f"{pages.machine_line(done)} {used['rounds']} rounds, in each {used['slices']} slices of {used['seconds']:g} s quiet and"
             " as many under it (of a reload one of each, as long as all of them).")
    ways = [way_row(way, name) for way in done["ways"] for name, rounds in way["results"].items() if rounds]
    rounds = [round_row(name, results) for name, results in done["round"].items()]
    return {"isolation": "\n\n".join([about, pages.markdown(WAYS_HEAD, ways), *done["notes"], pages.markdown(ROUND_HEAD, rounds)])}


def update(page, done):
    pages.write(page, blocks(done))
