"""The time that is spent in training, which is what a run by the clock has a budget of."""

import time

CLOCKS = ("wall", "cpu")


def now(clock: str) -> float:
    """Seconds on the wall, or of process time ("cpu"), which is summed over all cores."""
    return time.process_time() if clock == "cpu" else time.perf_counter()


class Stopwatch:
    """Adds up the seconds between each `start` and the `stop` that follows.

    Args:
        clock: a name in `CLOCKS`.
        seconds: of earlier sittings.
    """

    def __init__(self, clock: str, seconds: float = 0.0):
        self.clock, self._before = clock, seconds
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """So far; it stands still while the stopwatch is stopped."""
        return self._before + (0 if self._since is None else now(self.clock) - self._since)

    def start(self) -> None:
        """Count from now on."""
        self._since = now(self.clock)

    def stop(self) -> None:
        """Count until now."""
        self._before, self._since = self.seconds, None
