"""How long a learner waits: from the start of JupyterLab to the first picture that a model drew.

    python benchmarks/first_picture.py

A real JupyterLab, a real Chromium, notebook 00 without its stored outputs, "Run All Cells" in the
laptop profile. Writes benchmarks/results/first_picture.md.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

from t2i_course.contract import write_whole

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import lab_page  # noqa: E402 - what the browser's tests use

NOTEBOOK = "notebooks/00_start_here.ipynb"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "notebooks", folder / "notebooks")
        notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / NOTEBOOK)
        times: dict[str, float] = {}
        start = time.perf_counter()

        def note(what: str) -> None:
            times[what] = time.perf_counter() - start

        with lab_page.server(folder, folder / "home", folder, "laptop") as lab:
            note("the server answers")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=lab_page.browser_path(), args=list(lab_page.SWITCHES)
                )
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(1000 * lab_page.PATIENCE)
                opened = lab_page.Notebook(page, lab, NOTEBOOK)
                note("the notebook is open, its kernel ready")
                opened.menu("Run", "Run All Cells")
                page.locator(".jp-OutputArea-output img").first.wait_for(state="attached")
                note("the first picture of data")
                cell = page.locator(".jp-CodeCell", has_text="sampling.draw(model")
                cell.locator(".jp-OutputArea-output img").first.wait_for(state="attached")
                note("the first pictures that a model drew")
                browser.close()
    lines = [
        "# From the start of JupyterLab to the first picture",
        "",
        "Notebook 00, laptop profile, Chromium without a window, two cores.",
        "",
        "| what | seconds |",
        "| --- | --- |",
        *(f"| {what} | {seconds:.1f} |" for what, seconds in times.items()),
    ]
    text = "\n".join(lines) + "\n"
    write_whole(ROOT / "benchmarks" / "results" / "first_picture.md", text)
    print(text)


if __name__ == "__main__":
    main()
