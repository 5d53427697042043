"""The built site in a real browser: `python site/browser.py [--axe axe.min.js] [--out FOLDER]`.

Opens every page wide and narrow in headless Chromium: Debian's `chromium` package, or the program
that the environment variable CHROMIUM names. Fails if a formula is not drawn, if a script fails, if
a page loads something from elsewhere, if a narrow window must be scrolled sideways, or if axe-core
finds something serious, in the light theme or the dark one. Screenshots of a few pages are kept.
"""

import argparse
import functools
import http.server
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
HTML = HERE / "_build" / "html"
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
WINDOWS = {"wide": (1400, 900), "narrow": (390, 844)}
SHOWN = ("index", "glossary", "commands", "notebooks/02_vae", "notebooks/05_ddpm", "search")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SERIOUS = ("serious", "critical")

FORMULAS = """() => ({
  written: document.querySelectorAll('.math').length,
  drawn: document.querySelectorAll('mjx-container').length,
  wrong: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """A server of the folder on a free loopback port, in a thread."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def settle(page: Page) -> None:
    """Wait until all formulas are drawn."""
    page.evaluate("async () => { if (window.MathJax?.startup) await MathJax.startup.promise; }")


def look(browser: Browser, root: str, name: str, axe: str, out: Path | None) -> dict:
    """What is wrong with a page, in both windows and both themes."""
    found: dict = {"page": name, "problems": [], "axe": []}
    for window, (width, height) in WINDOWS.items():
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("pageerror", lambda error: found["problems"].append(f"script: {error}"))
        page.on(
            "request",
            lambda request: (
                request.url.startswith((root, "data:", "blob:"))
                or found["problems"].append(f"from elsewhere: {request.url}")
            ),
        )
        page.goto(f"{root}/{name}.html", wait_until="load")
        settle(page)
        seen = page.evaluate(FORMULAS)
        if seen["written"] != seen["drawn"] or seen["wrong"]:
            found["problems"].append(f"formulas, {window}: {seen}")
        if seen["wide"] > 1:
            found["problems"].append(f"{window}: {seen['wide']} pixels too wide")
        if out is not None and name in SHOWN:
            page.screenshot(path=out / f"{name.replace('/', '-')}-{window}.png")
        if window == "wide":
            page.evaluate(axe)
            for theme in ("light", "dark"):
                page.evaluate(f"document.body.dataset.theme = '{theme}'")
                result = page.evaluate("async () => await axe.run(document)")
                found["axe"] += [
                    (theme, v["impact"], v["id"], len(v["nodes"]), v["nodes"][0]["html"][:160])
                    for v in result["violations"]
                ]
                if out is not None and name in SHOWN and theme == "dark":
                    page.screenshot(path=out / f"{name.replace('/', '-')}-dark.png")
        page.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axe", type=Path, default=AXE)
    parser.add_argument("--out", type=Path, help="Where to keep screenshots.")
    parser.add_argument("pages", nargs="*", help="By default all.")
    chosen = parser.parse_args()
    found = (shutil.which(name) for name in PROGRAMS)
    program = os.environ.get("CHROMIUM") or next((each for each in found if each), None)
    if program is None:
        print("site/browser.py: no Chromium here (on Debian: apt-get install chromium); skipped")
        return 0
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
    files = sorted(path.relative_to(HTML) for path in HTML.rglob("*.html"))
    names = [f.with_suffix("").as_posix() for f in files if f.parts[0] not in ("slides", "reveal")]
    server = serve(HTML)
    root = f"http://127.0.0.1:{server.server_port}"
    bad, minor = 0, set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name in chosen.pages or names:
            found = look(browser, root, name, chosen.axe.read_text(encoding="utf-8"), chosen.out)
            serious = [each for each in found["axe"] if each[1] in SERIOUS]
            minor |= {(each[1], each[2]) for each in found["axe"] if each[1] not in SERIOUS}
            for problem in [*found["problems"], *map(json.dumps, serious)]:
                print(f"{name}: {problem}")
                bad += 1
        browser.close()
    server.shutdown()
    for impact, rule in sorted(minor):
        print(f"{impact}: {rule}")
    print(f"{len(chosen.pages or names)} pages in the browser, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
