"""The numbers of a run, as log.csv: one row for every few steps."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from t2i_course.contract import T2IError


class Log:
    """Collects each step's numbers on the device and writes their means now and then.

    Nothing waits for the device between two rows. Columns: `step` (steps done), `seconds` (of
    training), then `network/number`.

    Args:
        path: of the csv file, or None to keep the rows in memory only.
        step: steps done before; later rows of an earlier sitting, which a resumed run computes
            again, are removed.
    """

    def __init__(self, path: Path | None, step: int = 0):
        self.path = path
        self.rows = [row for row in read(path) if row["step"] <= step] if path else []
        self._pending: dict[str, list[Tensor]] = {}
        self._last = step
        if path:
            self._write(self.rows, "w")

    def add(self, network: str, numbers: Mapping[str, Tensor]) -> None:
        """Numbers (scalars on any device) of one step of one network."""
        for name, value in numbers.items():
            self._pending.setdefault(f"{network}/{name}", []).append(value.detach())

    def flush(
        self, step: int, seconds: float, reduce: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[str, int, str] | None:
        """Write the means since the last row.

        Args:
            step: steps done.
            seconds: of training so far.
            reduce: the mean over processes, if there are several.

        Returns:
            None, or, where a loss is not finite and no row was written: the network, the step
            (from 1) and the last finite losses in words.
        """
        row = {"step": float(step), "seconds": round(seconds, 3)}
        broken: list[tuple[int, str, Tensor]] = []
        for name, values in self._pending.items():
            steps = torch.stack(values).float()
            steps = steps if reduce is None else reduce(steps)
            row[name] = steps.double().mean().item()
            if name.endswith("/loss") and not math.isfinite(row[name]):
                broken.append((int((~torch.isfinite(steps)).nonzero()[0]), name, steps))
        if broken:
            first, name, steps = min(broken, key=lambda one: one[0])
            before = [f"{value:.6g}" for value in steps[max(0, first - 3) : first].tolist()]
            if not before and self.rows:
                before = [f"{self.rows[-1][name]:.6g}, the mean up to step {self._last}"]
            return name.split("/")[0], self._last + first + 1, ", ".join(before) or "none"
        self._pending.clear()
        self._last = step
        self.rows.append(row)
        if self.path:
            self._write([row], "a")
        return None

    def columns(self) -> dict[str, list[float]]:
        """The rows as columns."""
        return columns(self.rows)

    def summary(self) -> str:
        """The losses of the newest row, for a progress bar."""
        if not self.rows:
            return ""
        losses = {k.split("/")[0]: v for k, v in self.rows[-1].items() if k.endswith("/loss")}
        if len(losses) == 1:
            return f"loss {next(iter(losses.values())):.4g}"
        return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())

    def _write(self, rows: list[dict[str, float]], mode: str) -> None:
        assert self.path is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, mode, newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else [])
                if rows and file.tell() == 0:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise T2IError(
                f"{self.path} cannot be written ({error}). Make room or choose another folder; "
                "what was saved stays, and the same command goes on from it."
            ) from error


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a log.csv, up to the first that is not one (a kill may cut a line short)."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    numbers: list[dict[str, float]] = []
    for row in rows:
        try:
            numbers.append({name: float(value) for name, value in row.items()})
        except (TypeError, ValueError):
            break
    return numbers if all("step" in row for row in numbers) else []


def columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Rows as columns; a number that a row lacks is NaN."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, math.nan) for row in rows] for name in names}
