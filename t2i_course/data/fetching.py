"""Files over HTTP from a server that may misbehave: again after a pause, whole or not at all."""

import email.utils
import http.client
import itertools
import os
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from t2i_course import __version__
from t2i_course.contract import Settings, T2IError, require, seed_of

T = TypeVar("T")
LONGEST = 60.0  # seconds between two attempts, unless the server asks for more
SLOWEST = 1_000  # bytes a second; less is a stall


class FetchError(Exception):
    """What could not be had after all attempts; its text is the reason."""


@dataclass(frozen=True)
class Fetching(Settings):
    """How hard to try.

    Args:
        workers: files fetched at the same time.
        attempts: at one file, before it counts as broken.
        timeout: seconds that the server may be silent.
        backoff: seconds before the second attempt; the pause doubles with each one more.
        patience: seconds at most that a server may ask to wait, in all, for one file.
        give_up: so many broken files one after the other mean that the server is.
    """

    workers: int = 16
    attempts: int = 5
    timeout: float = 20.0
    backoff: float = 0.5
    patience: float = 300.0
    give_up: int = 30

    def __post_init__(self) -> None:
        for name in ("workers", "attempts", "timeout", "backoff", "patience", "give_up"):
            value = getattr(self, name)
            require(value > 0, f"{name} must be above 0, not {value}.")


class Fetcher:
    """Fetches files, from several threads if need be; one server's wish to wait holds for all."""

    def __init__(self, how: Fetching):
        self.how = how
        self._stopped = threading.Event()
        self._not_before = 0.0  # by time.monotonic()

    def stop(self) -> None:
        """Make every thread that fetches or waits raise `FetchError` soon."""
        self._stopped.set()

    def get(self, url: str, accept: Callable[[bytes], T], limit: int) -> T:
        """What `accept` makes of the content at `url`.

        Args:
            accept: raises ValueError for a content that is not what was wanted.
            limit: bytes; more are refused.

        Raises:
            FetchError: if it cannot be had.
        """

        def once() -> T:
            with self._open(url, {}) as response:
                return accept(b"".join(self._chunks(response, limit)))

        return self._persist(url, once)

    def get_file(self, url: str, path: Path, progress: bool = False) -> None:
        """Fetch a large file to `path`; interrupted, it goes on where it was (`.NAME.part`).

        Raises:
            FetchError: if it cannot be had; what has come is kept.
        """
        part = path.with_name(f".{path.name}.part")

        def size() -> int:
            return part.stat().st_size if part.exists() else 0

        def once() -> None:
            there = size()
            try:
                response = self._open(url, {"Range": f"bytes={there}-"} if there else {})
            except HTTPError as error:
                if error.code == 416:  # nothing after what is there: it is whole, or of another
                    error.close()
                    if error.headers.get("Content-Range") == f"bytes */{there}":
                        return
                    part.unlink(missing_ok=True)
                    raise ValueError("the part that was kept does not fit") from error
                raise
            with response:
                if response.status != 206:
                    there = 0
                elif not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
                    raise ValueError("the server sent another part than was asked for")
                length = response.headers.get("Content-Length")
                total = there + int(length) if length else None
                with (
                    open(part, "ab" if there else "wb") as file,
                    progress_bar(path.name, "B", progress, total, there) as bar,
                ):
                    for chunk in self._chunks(response, None):
                        bar.update(file.write(chunk))
                    file.flush()
                    os.fsync(file.fileno())

        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = size()
            try:
                self._persist(url, once)
                break
            except FetchError:
                if size() <= before or self._stopped.is_set():
                    raise
        os.replace(part, path)

    def _open(self, url: str, headers: Mapping[str, str]) -> Any:
        agent = {"User-Agent": f"t2i-course/{__version__}"}
        return urlopen(Request(url, headers={**agent, **headers}), timeout=self.how.timeout)

    def _chunks(self, response: Any, limit: int | None) -> Iterator[bytes]:
        """The content as it comes; ValueError if it is cut short, too long or too slow."""
        promised = response.headers.get("Content-Length")
        started, got = time.monotonic(), 0
        while chunk := response.read1(1 << 16):
            got += len(chunk)
            if limit is not None and got > limit:
                raise ValueError(f"more than {limit:,} bytes")
            seconds = time.monotonic() - started
            if seconds > self.how.timeout and got < SLOWEST * seconds:
                raise TimeoutError(f"stalled: {got:,} bytes in {seconds:.0f} s")
            if self._stopped.is_set():
                raise FetchError("stopped")
            yield chunk
        if promised is not None and got != int(promised):
            raise ValueError(f"cut short: {got:,} of {int(promised):,} bytes")

    def _persist(self, url: str, once: Callable[[], T]) -> T:
        """What `once` gives, called again after a pause while that may help."""
        failures, waited = 0, 0.0
        for turn in itertools.count():
            self._wait_until(self._not_before)
            asked = None
            try:
                return once()
            except HTTPError as error:
                error.close()
                reason = f"the server answered {error.code} {error.reason}".rstrip()
                if error.code not in (408, 425, 429) and error.code < 500:
                    raise FetchError(reason) from error
                asked = _retry_after(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError) as error:
                cause = error.reason if isinstance(error, URLError) else error
                reason = " ".join(str(cause).split()) or type(cause).__name__
            # A part of the pause that depends on the address: threads do not come back as one.
            spread = 0.5 + seed_of(url, turn) / 2**64
            pause = min(LONGEST, self.how.backoff * 2.0 ** min(turn, 30)) * spread
            if asked is None:
                failures += 1
            else:
                pause = max(pause, asked)
                waited += pause
                reason += f", and to come back after {asked:.0f} s"
            if failures >= self.how.attempts or waited > self.how.patience:
                raise FetchError(reason)
            if asked is not None:
                self._not_before = max(self._not_before, time.monotonic() + asked)
            self._wait_until(time.monotonic() + pause)
        raise AssertionError

    def _wait_until(self, moment: float) -> None:
        if self._stopped.wait(max(0.0, moment - time.monotonic())):
            raise FetchError("stopped")


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (a number or a date, RFC 9110, 10.2.3); None without one."""
    if value is None:
        return None
    try:
        return max(0.0, float(int(value)))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def opened_archive(path: Path) -> zipfile.ZipFile:
    """A zip archive none of whose members would be written outside of its folder.

    Raises:
        T2IError: for one with such a member (an absolute name, one with `..`, a link), or no zip.
    """
    try:
        members = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise T2IError(
            f"{path} is no whole zip archive ({error}). Remove it and fetch it anew."
        ) from error
    for member in members.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        link = stat.S_ISLNK(member.external_attr >> 16)
        if name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1]) or link:
            members.close()
            raise T2IError(
                f"{path} is refused: its member {member.filename!r} would be written outside of "
                "its folder. Remove it and fetch it from another place."
            )
    return members


def progress_bar(what: str, unit: str, shown: bool, total: int | None, there: int) -> tqdm:
    """A bar with the time left, reckoned from what is fetched and not from what was there."""
    notebook = "ipykernel" in sys.modules
    return tqdm(
        total=total, initial=there, desc=what, unit=unit, unit_scale=unit == "B",
        disable=not shown, dynamic_ncols=True, file=sys.stdout if notebook else sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() or notebook else 15,
    )  # fmt: skip
