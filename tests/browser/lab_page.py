"""JupyterLab as a learner meets it: a server on a loopback port, and a page of it in a browser."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
PATIENCE = float(
    os.environ.get("T2I_BROWSER_PATIENCE") or 300
)  # seconds, for whatever is waited for
NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
# The cells that are in the window, as JavaScript.
SEEN = """const seen = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.height > 0 && box.bottom > 100 && box.top < innerHeight && one.offsetParent;
});"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox, as it refuses to start as root; nothing is fetched that no page asks for.
SWITCHES = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-default-apps", "--disable-dev-shm-usage",
)  # fmt: skip


def browser_path() -> str | None:
    """Chromium on this machine: T2I_BROWSER, or the first of its usual names."""
    named = os.environ.get("T2I_BROWSER")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


# Notes, from the first key or click in a widget on, when it first answers and when its picture
# changes.
WATCH = """box => {
    const times = {}, pictures = () => [...box.querySelectorAll('img')].map(one => one.src).join();
    const words = () => [...box.querySelectorAll('[role]')].map(one => one.textContent).join();
    const before = [pictures(), words()], now = () => performance.now() - times.start;
    for (const kind of ['keydown', 'change', 'click'])
        box.addEventListener(kind, () => times.start ??= performance.now(), {capture: true});
    const watch = new MutationObserver(() => {
        if (times.start === undefined) return;
        if (pictures() != before[0]) times.picture ??= now();
        if (times.picture || words() != before[1]) times.answer ??= now();
    });
    watch.observe(box, {subtree: true, childList: true, attributes: true, characterData: true});
    window.t2iTimes = times;
}"""

LOST = re.compile("Error displaying widget|Loading widget")


class Lab:
    """A server that runs in `folder`, and its address."""

    def __init__(self, folder: Path, port: int, token: str):
        self.folder, self.port, self.token = folder, port, token

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def sessions(self) -> list[dict[str, Any]]:
        """The notebooks that have a kernel, as the server lists them."""
        with urllib.request.urlopen(self.address("api/sessions")) as found:
            return list(json.load(found))

    def forget(self) -> None:
        """End every kernel, as each holds a gigabyte."""
        for session in self.sessions():
            path = self.address(f"api/sessions/{session['id']}")
            urllib.request.urlopen(urllib.request.Request(path, method="DELETE")).close()


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


@contextmanager
def server(folder: Path, home: Path, out: Path, profile: str = "smoke") -> Iterator[Lab]:
    """JupyterLab with the root `folder` and an empty home."""
    home.mkdir(parents=True)
    (home / "settings" / NEWS).parent.mkdir(parents=True)
    (home / "settings" / NEWS).write_text('{"fetchNews": "false", "checkForUpdates": false}')
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "XDG_", "T2I_"))}
    data = {"T2I_DATA": os.environ["T2I_DATA"]} if "T2I_DATA" in os.environ else {}
    lab = Lab(folder, _free_port(), secrets.token_hex(16))
    own = {
        "HOME": str(home), "USERPROFILE": str(home), "JUPYTER_TOKEN": lab.token,
        "T2I_PROFILE": profile, "T2I_RUNS": str(folder / "runs"),
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
    }  # fmt: skip
    with open(out / "server.log", "wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
                "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={lab.port}",
                "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
            ],
            env={**kept, **data, **own}, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",
        )  # fmt: skip
        try:
            _wait_for(lab, process)
            yield lab
        finally:
            process.send_signal(signal.SIGTERM)  # it ends its kernels
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(lab.address("api/status"), timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start: see server.log")


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Any, lab: Lab, path: str):
        self.page, self.file = page, lab.folder / path
        self.widgets: list[Widget] = []
        page.goto(lab.address(f"lab/tree/{path}") + "&reset")  # without what was open before
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        # The page calls a kernel idle that it has not got yet, and to run a cell then asks for one.
        end = time.monotonic() + PATIENCE
        while not any(
            one["path"] == path and one["kernel"]["connections"] for one in lab.sessions()
        ):
            assert time.monotonic() < end, "no kernel is connected"
            page.wait_for_timeout(100)
        page.locator("#jp-bottom-panel").get_by_text("| Idle").wait_for()
        self.idle()

    def idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        indicator = self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        indicator.first.wait_for(state="attached")

    def menu(self, name: str, item: str) -> None:
        """Choose from the menu bar, as with the mouse."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def run_all(self) -> None:
        """Run every cell, and wait until the last has run."""
        cells = nbformat.read(self.file, as_version=4).cells
        count = sum(cell.cell_type == "code" for cell in cells)
        self.menu("Run", "Run All Cells")
        prompts = """[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
            .map(one => one.textContent.trim())"""
        # What is stored has its numbers already: they go first. Cells come to the page by and by.
        self.page.wait_for_function(f"() => {prompts}.some(one => one == '[*]:')")
        # A folded cell has no number.
        done = f"count => {prompts}.filter(one => /^(\\[\\d+\\]:)?$/.test(one)).length == count"
        self.page.wait_for_function(done, arg=count)
        self.idle()

    def saved(self) -> Any:
        """The notebook as it lies on the disk after it is saved."""
        before = self.file.stat().st_mtime_ns
        self.menu("File", "Save Notebook")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.page.wait_for_timeout(100)
            if self.file.stat().st_mtime_ns != before:
                with suppress(nbformat.reader.NotJSONError):  # it is being written
                    return nbformat.read(self.file, as_version=4)
        raise AssertionError("it was not saved")

    def widget(self, name: str) -> "Widget":
        """A widget of the course, by its class without the prefix."""
        found = Widget(self.page, self.page.locator(f".t2i-{name}").first, name)
        self.widgets.append(found)
        return found

    def leaf(self, out: Path, name: str) -> None:
        """Photograph the notebook from top to bottom, window by window; every picture is whole."""
        # JupyterLab keeps only the cells near the window in the page.
        scroller = self.page.locator(".jp-WindowedPanel-outer").first
        scroller.evaluate("one => one.scrollTo(0, 0)")
        for number in range(1, 100):
            self.page.wait_for_function(f"() => {{ {SEEN} return seen.length > 0; }}")
            self.page.wait_for_timeout(300)  # formulas and pictures settle
            broken = self.page.evaluate(
                f"() => {{ {SEEN} return seen.flatMap(one => [...one.querySelectorAll('img')])"
                ".filter(one => one.complete && !one.naturalWidth).length; }"
            )
            assert broken == 0
            assert self.page.get_by_text(LOST).count() == 0
            self.page.screenshot(path=out / f"{name}-{number:02d}.png")
            # Cells below the window are there before they are in it; below the last is nothing.
            if self.page.evaluate(
                "() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].at(-1)"
                ".getBoundingClientRect().bottom <= innerHeight"
            ):
                return
            scroller.evaluate("one => one.scrollBy(0, 0.9 * one.clientHeight)")


class Widget:
    """A widget that is handled with keyboard and mouse, and looked at."""

    def __init__(self, page: Any, box: Any, name: str):
        self.page, self.box, self.name = page, box, name
        self.times: list[tuple[str, str, float, float]] = []
        box.locator("img").first.wait_for()
        box.scroll_into_view_if_needed()

    def _act(self, what: str, act: Callable[[], Any]) -> list[str]:
        """Do something and wait for the new pictures; how long they took is kept in `times`: the
        widget, what was done, ms to the first answer, ms to the first new picture."""
        before = self.pictures()
        self.box.evaluate(WATCH)
        act()
        after = self.changed(before)
        times = self.page.evaluate("() => window.t2iTimes")
        self.times.append((self.name, what, times["answer"], times["picture"]))
        return after

    def pictures(self) -> list[str]:
        return self.box.locator("img").evaluate_all("all => all.map(one => one.src)")

    def alts(self) -> list[str]:
        return self.box.locator("img").evaluate_all("all => all.map(one => one.alt)")

    def said(self) -> str:
        return self.box.locator("[role=status], [role=alert]").last.inner_text()

    def changed(self, before: list[str]) -> list[str]:
        """Wait until other pictures are there; all of them are drawn and have words."""
        box = self.box.element_handle()
        self.page.wait_for_function(
            """([box, before]) => {
                const all = [...box.querySelectorAll('img')];
                const now = all.map(one => one.src);
                return now.length && JSON.stringify(now) != JSON.stringify(before)
                    && all.every(one => one.complete && one.naturalWidth > 0);
            }""",
            arg=[box, before],
        )
        assert all(len(alt) > 15 for alt in self.alts())
        return self.pictures()

    def slide(self, name: str, presses: int) -> list[str]:
        """Move a slider by arrow keys, to the right or (below 0) to the left; the new pictures."""
        row = self.box.locator(".widget-hslider, .widget-slider", has_text=name).first
        row.locator(".noUi-handle").focus()

        def press() -> None:
            for _ in range(abs(presses)):
                self.page.keyboard.press("ArrowRight" if presses > 0 else "ArrowLeft")

        return self._act(f"slide {name}", press)

    def type(self, text: str) -> list[str]:
        """Type into the text box and press Enter; the new pictures."""
        field = self.box.locator("input[type=text]").first
        field.fill(text)
        return self._act("type", lambda: field.press("Enter"))

    def choose(self, name: str, option: str) -> list[str]:
        """Choose from a list; the new pictures."""
        select = self.box.locator(".widget-dropdown", has_text=name).first.locator("select")
        return self._act(f"choose {name}", lambda: select.select_option(option))

    def click(self, name: str) -> list[str]:
        """Press a button; the new pictures."""
        return self._act(name, self.box.get_by_role("button", name=name).click)

    def shot(self, path: Path) -> None:
        self.box.scroll_into_view_if_needed()
        self.box.screenshot(path=path)
