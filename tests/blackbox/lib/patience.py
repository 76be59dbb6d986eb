"""How long a test waits for something that must happen before it calls it missing. Never a pause: whoever waits goes on at
once when it happens."""

import os
import time

# Sanitizers slow the gate down, and several suites may share a machine.
PATIENCE = {"tsan": 90.0, "asan": 60.0}.get(os.environ.get("SP_PRESET", ""), 40.0)


def until(ask, what, patience=PATIENCE):
    """Asks again and again until the answer is true, and returns it. For what sends no event: metrics, files, /proc."""
    end = time.monotonic() + patience
    wait = 0.002
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(wait)
        wait = min(wait * 1.5, 0.1)
