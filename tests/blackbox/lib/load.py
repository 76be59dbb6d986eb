"""Requests without end, for tests of what must not cost one."""

import threading

from . import raw
from .patience import until


class Load:
    """Requests on kept-alive and on new connections until told to stop. A connection that the gate said it would close (Connection:
    close) or closed while idle is opened anew; everything else that goes wrong is kept."""

    def __init__(self, gate, credential, threads=3, path="/load"):
        self.gate, self.credential, self.path = gate, credential, path
        self.failures, self.done = [], 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        while not self._stop.is_set():
            try:
                with raw.Client(self.gate, self.credential) as client:
                    self._talk(client, 1 if number == 0 else 200)
            except Exception as failure:  # whatever it is, it is a failed request
                self.failures.append(repr(failure))

    def _talk(self, client, requests):
        for _ in range(requests):
            if self._stop.is_set():
                return
            answer = client.get(self.path)
            if answer.status != 200:
                self.failures.append(repr(answer))
            with self._lock:
                self.done += 1
            if (answer.one("Connection") or "").lower() == "close":
                return

    def wait_more(self, count):
        goal = self.done + count
        until(lambda: self.done >= goal or self.failures, f"{count} more requests under load")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
