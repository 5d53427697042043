"""A score is never a bare number: it carries what it depends on."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from t2i_course.contract import require


@dataclass(frozen=True)
class Score:
    """One number with everything that another must share to be comparable.

    Args:
        name: of the metric, such as "Fréchet distance".
        value: the number, finite.
        samples: how many generated images it is of.
        features: the name of the features or of the judge; "" if the metric has none.
        features_sha256: the hash of their weights.
        resize: what was done to images of another size, in words, or "none".
        reference: the data it was compared with, with split and count; "" if the metric has none.
        floor: what real images score against other real ones, where lower is better.
        ceiling: what real images score, where higher is better.
        low: lower end of the value's interval, or None.
        high: its upper end.
        interval: what the interval was made from, such as "5 sampling seeds"; never the bootstrap.
        note: what a reader must know besides, such as that the data is a stand-in.

    Raises:
        T2IError: if a number is not finite, `samples` is not positive, or the interval does not
            hold the value or does not say what it was made from.
    """

    name: str
    value: float
    samples: int
    features: str = ""
    features_sha256: str = ""
    resize: str = "none"
    reference: str = ""
    floor: float | None = None
    ceiling: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require(self.samples >= 1, f"{self.name} is of {self.samples} samples: it needs some.")
        for part in ("value", "floor", "ceiling", "low", "high"):
            number = getattr(self, part)
            require(
                number is None or math.isfinite(number),
                f"The {part} of {self.name} is {number}: look at the features it was made from.",
            )
        if (self.low, self.high, self.interval) != (None, None, ""):
            require(
                self.low is not None
                and self.high is not None
                and self.low <= self.value <= self.high
                and self.interval != "",
                f"The interval of {self.name} needs both ends, with the value between them, and "
                "what it was made from.",
            )

    @property
    def times_floor(self) -> float | None:
        """The value over the floor; None without a floor above 0."""
        return self.value / self.floor if self.floor and self.floor > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; `Score(**fields)` is the score again."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        parts = []
        if self.low is not None and self.high is not None:
            parts.append(f"{_short(self.low)} to {_short(self.high)}, {self.interval}")
        if self.floor is not None:
            times = self.times_floor
            of = "" if times is None else f"{_short(times)} x the "
            parts.append(f"{of}floor {_short(self.floor)}")
        if self.ceiling is not None:
            parts.append(f"ceiling {_short(self.ceiling)}")
        parts.append(f"{self.samples:,} samples")
        if self.features:
            parts.append(f"{self.features} {self.features_sha256[:6]}")
        if self.resize != "none":
            parts.append(f"resize {self.resize}")
        if self.reference:
            parts.append(f"against {self.reference}")
        if self.note:
            parts.append(self.note)
        return f"{self.name} {_short(self.value)} ({'; '.join(parts)})"


def _short(number: float) -> str:
    """Three significant digits, and one decimal from 100 up: 0.0123, 1.23, 12.3, 237.2, 1,234.5."""
    return f"{number:,.1f}" if abs(number) >= 100 else f"{number:.3g}"
