"""Each notebook as a learner runs it, in the smoke profile: all cells, then its widgets."""

import csv
import os

import nbformat
import pytest
from lab_page import ROOT, Notebook

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
WANTED = (os.environ.get("T2I_BROWSER_NOTEBOOKS") or "").split()


def use_prompt_box(notebook, shot):
    box = notebook.widget("prompt-box")
    shot(box, "before")
    box.type("a large green triangle")
    assert box.said() == ""
    words = box.alts()
    assert words == ["Drawn of the prompt “a large green triangle”; the judge: right."] * 3
    assert box.box.locator("figcaption").all_inner_texts() == ["✓ right"] * 3
    shot(box, "after")
    box.slide("guidance w", 2)
    box.slide("pictures", -2)
    assert len(box.alts()) == 1
    before = box.pictures()
    box.box.locator("input[type=text]").first.fill("")
    box.box.locator("input[type=text]").first.press("Enter")
    box.box.locator("[role=alert]").wait_for()  # an empty prompt is refused in words
    assert box.pictures() == before


def use_latent_walk(notebook, shot):
    walk = notebook.widget("latent-walk")
    shot(walk, "before")
    first = walk.box.locator(".widget-hslider .widget-label").first.inner_text()
    walk.slide(first, 12)
    assert f"{first} = 1.2" in walk.alts()[0]
    walk.choose("label", "Ankle boot")
    assert walk.alts()[0].startswith("Ankle boot")
    shot(walk, "after")
    walk.click("All to 0")
    assert f"{first} = 0.0" in walk.alts()[0]


def use_training_monitor(notebook, shot):
    monitor = notebook.widget("training-monitor")
    monitor.box.get_by_text("Finished").wait_for()
    assert "Training loss" in monitor.alts()[0] and len(monitor.alts()) == 11
    shot(monitor, "finished")


def use_noise_schedule(notebook, shot):
    schedule = notebook.widget("noise-schedule")
    shot(schedule, "before")
    schedule.slide("t", 30)
    assert "t = 0.60" in schedule.alts()[0]
    shot(schedule, "after")
    schedule.choose("schedule", "flow")
    assert "a = 0.400, s = 0.600" in schedule.said()


def use_sampler(notebook, shot):
    sampler = notebook.widget("sampler")
    shot(sampler, "before")
    sampler.choose("label", "Sandal")
    sampler.choose("sampler", "ddpm")
    sampler.slide("guidance w", 4)
    sampler.slide("steps", 14)
    sampler.box.get_by_text("Sandal, ddpm, 30 steps, w = 3.5").wait_for()
    shot(sampler, "after")


def use_metric_explorer(notebook, shot):
    explorer = notebook.widget("metric-explorer")
    shot(explorer, "before")
    explorer.slide("mean, x", -20)
    explorer.slide("mean, y", -10)
    explorer.slide("width", -5)
    explorer.slide("correlation", -12)
    explorer.box.get_by_text("Fréchet distance 0.00").wait_for()
    explorer.choose("points", "10")
    explorer.box.get_by_text("estimated from 10 points").wait_for()
    shot(explorer, "after")


USES = {
    "00": [use_prompt_box], "03": [use_training_monitor, use_latent_walk],
    "05": [use_noise_schedule], "06": [use_sampler], "07": [use_metric_explorer],
    "10": [use_prompt_box],
}  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_jupyterlab_and_its_widgets_answer(path, lab, page, out):
    number = path.name[:2]
    if WANTED and number not in WANTED:
        pytest.skip("not among T2I_BROWSER_NOTEBOOKS")
    notebook = Notebook(page, lab, f"notebooks/{path.name}")
    as_stored = nbformat.read(notebook.file, as_version=4)
    notebook.run_all()

    def shot(widget, when):
        widget.shot(out / f"{number}-{widget.name}-{when}.png")

    for use in USES.get(number, []):
        use(notebook, shot)
    times = [time for widget in notebook.widgets for time in widget.times]
    with open(out / f"{number}-latencies.csv", "w", newline="") as file:
        csv.writer(file).writerows([("widget", "action", "answer ms", "picture ms"), *times])
    notebook.leaf(out, number)
    stored = {cell.id: cell for cell in as_stored.cells}
    for cell in notebook.saved().cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        assert cell.execution_count, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", output
            assert output.get("name") != "stderr", output.text
        kinds, wanted = kinds_of(cell.outputs), kinds_of(stored[cell.id].outputs)
        assert kinds >= wanted, f"{cell.source}\nshows {kinds}, and stored is {wanted}"


def kinds_of(outputs):
    """What a cell shows: text, pictures, …; an output without any content does not count."""
    kinds = set()
    for output in outputs:
        if output.get("text", "").strip():
            kinds.add("text")
        kinds |= {kind for kind, content in output.get("data", {}).items() if content}
    return kinds - {"text/plain"}
