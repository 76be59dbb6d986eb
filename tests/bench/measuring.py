"""CPU time an operation, interleaved, and memory an idle connection."""
import contextlib
import statistics
import time

from tools import Failed, Load, busy_seconds

SLICE_SECONDS = 0.3
WARM_SECONDS = 0.3
OTHERS_MAX = 0.08  # a slice is repeated if others took more of the proxy's CPU than this


@contextlib.contextmanager
def named(proxy):
    """Says whose measurement failed."""
    try:
        yield
    except Failed as failed:
        raise Failed(f"{proxy.name}: {failed}") from None


def settled_cpu(proxy):
    """The proxy's CPU clock once it stands still, so that what belongs to the part before is in it."""
    before = proxy.cpu_ns()
    for _ in range(20):
        time.sleep(0.02)
        now = proxy.cpu_ns()
        if now - before < 20_000:  # a timer may tick
            return now
        before = now
    return before


# ---- CPU time ----

def take_slice(bench, proxy, load):
    """A fraction of a second of load on one proxy."""
    before, busy, began = settled_cpu(proxy), busy_seconds(bench.proxy_cpu), time.monotonic()
    result = load.measure()
    spent = (settled_cpu(proxy) - before) / 1e9
    others = busy_seconds(bench.proxy_cpu) - busy - spent
    return result | {"cpu_seconds": spent, "others": max(0.0, others / (time.monotonic() - began))}


def quietest_slice(bench, proxy, load, tries):
    """Of several tries the one in which others took least of the CPU, whatever it says."""
    best = None
    for _ in range(tries):
        result = take_slice(bench, proxy, load)
        if best is None or result["errors"] or result["others"] < best["others"]:
            best = result
        if best["errors"] or best["others"] <= OTHERS_MAX:
            break
    return best


def sum_up(scenario, slices):
    done, spent, seconds = (sum(s[key] for s in slices) for key in (scenario.per, "cpu_seconds", "seconds"))
    return {
        "value": spent * 1e6 / done if done else float("nan"),
        "done": done,
        "cpu_seconds": spent,
        "per_second": done / seconds if seconds else 0,
        "errors": sum(s["errors"] for s in slices),
        "others": statistics.mean(s["others"] for s in slices),
        "latency_us": {key: statistics.median(s["latency_us"][key] for s in slices) for key in ("p50", "p90", "p99")},
    }


def measure_cpu(bench, contenders, scenario, log, args):
    """One round: all proxies freshly started and loaded in turns, a slice each, so that what disturbs the machine for
    a second or more disturbs them alike. {name: [result]}; with --quick each turn counts as a round."""
    with contextlib.ExitStack() as stack:
        running = []
        for contender in contenders:
            proxy = stack.enter_context(contender(bench, log=log, defaults=scenario.defaults, keys=scenario.keys))
            load = stack.enter_context(Load(bench, proxy.port, scenario.load, SLICE_SECONDS, scenario.keys))
            with named(proxy):
                load.line()  # "ready"
                load.measure()  # warm
            running.append((proxy, load, []))
        for _ in range(max(1, round(args.seconds / SLICE_SECONDS))):
            for proxy, load, slices in running:
                with named(proxy):
                    slices.append(quietest_slice(bench, proxy, load, args.tries))
        return {proxy.name: [sum_up(scenario, part) for part in ([[s] for s in slices] if args.quick else [slices])]
                for proxy, _, slices in running}


# ---- memory ----

def measure_one_memory(bench, contender, scenario, log):
    with contender(bench, log=log, defaults=True) as proxy, named(proxy):
        with Load(bench, proxy.port, ("keepalive", "-c", "8"), WARM_SECONDS) as warm:
            warm.line()
            warm.measure()
        settled_cpu(proxy)
        before = proxy.memory_bytes()
        with Load(bench, proxy.port, (*scenario.load, "--hold-seconds", "120"), 240) as load:
            held = int(load.line().split()[1])
            settled_cpu(proxy)
            grown = proxy.memory_bytes() - before
            errors = load.measure()["errors"]
    return {"value": grown / 1024 / held if held else float("nan"), "held": held, "base_bytes": before,
            "grown_bytes": grown, "errors": errors}


def measure_memory(bench, contenders, scenario, log, _args):
    return {contender.name: [measure_one_memory(bench, contender, scenario, log)] for contender in contenders}
