"""How big a run is: `smoke`, `laptop` or `gpu`. The only place that knows."""

import os
from dataclasses import dataclass
from typing import TypeVar

from t2i_course.errors import unknown

T = TypeVar("T")

PROFILES = {
    "smoke": "proves that everything runs: seconds, and nothing is learned",
    "laptop": "teaches: at most ten minutes a notebook on two cores",
    "gpu": "the real thing",
}


@dataclass(frozen=True)
class Profile:
    """A size of run, by name; see `PROFILES`."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in PROFILES:
            raise unknown("profile", self.name, PROFILES)

    def pick(self, *, smoke: T, laptop: T, gpu: T) -> T:
        """The value for this profile."""
        return {"smoke": smoke, "laptop": laptop, "gpu": gpu}[self.name]


def current() -> Profile:
    """The profile that the environment variable `T2I_PROFILE` names; `laptop` by default.

    Raises:
        T2IError: if there is no such profile.
    """
    return Profile(os.environ.get("T2I_PROFILE") or "laptop")
