"""Training in a notebook: one bar, one figure, a button that stops and saves, a tab that closes."""

import csv

import nbformat
from lab_page import PATIENCE, Notebook

SETUP = """\
from t2i_course import background, panels, runs
from t2i_course.data import fashion
from t2i_course.models.vae import CVAE
from t2i_course.training.settings import TrainSettings

data = fashion.load("train", source="sketches", limit=600)
settings = TrainSettings(minutes={minutes}, batch_size=64, precision="fp32", log_every=5)
"""
TRAIN = 'run = runs.train("stopped", CVAE(), data, settings)\nprint("finished:", run.finished)'
BESIDE = """\
beside = background.train(
    "cvae-fashion", "--data", "sketches", "--steps", "100000", "--log-every", "5", run="beside"
)
panels.training_monitor(beside)
"""


def notebook_of(lab, name, *sources):
    """A notebook with these cells, in the server's folder."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "name": "python3", "display_name": "Python 3", "language": "python"
    }  # fmt: skip
    nbformat.write(notebook, lab.folder / name)


def rows_of(folder):
    with open(folder / "log.csv", newline="") as file:
        return [float(row["step"]) for row in csv.DictReader(file)]


def output(page, number):
    """The output area of a code cell, from 0."""
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea")


def test_a_training_shows_one_bar_and_one_figure_stops_saves_and_goes_on(lab, page, out):
    notebook_of(lab, "training.ipynb", SETUP.format(minutes=0.7), TRAIN, "print('still', 'here')")
    notebook = Notebook(page, lab, "training.ipynb")
    notebook.menu("Run", "Run All Cells")
    training = output(page, 1)
    training.locator("img").wait_for()  # the losses, after some seconds
    first = training.locator("img").get_attribute("src")
    page.wait_for_function(
        "([one, before]) => one.querySelector('img').src != before",
        arg=[training.element_handle(), first],
    )
    assert training.locator("img").count() == 1
    page.screenshot(path=out / "training-under-way.png")
    notebook.menu("Kernel", "Interrupt Kernel")
    training.get_by_text("Stopped after step").wait_for()
    notebook.idle()
    page.screenshot(path=out / "training-stopped.png")
    (folder,) = lab.folder.glob("runs/stopped-*")
    stopped_at = rows_of(folder)[-1]

    notebook.menu("Run", "Run All Cells")
    training.get_by_text("finished: True").wait_for()
    output(page, 2).get_by_text("still here").wait_for()
    page.screenshot(path=out / "training-finished.png")
    steps = rows_of(folder)
    assert stopped_at in steps and steps[-1] > stopped_at and steps == sorted(set(steps))
    bars = training.locator("pre").all_inner_texts()
    assert sum(text.count("%|") for text in bars) == 1, bars
    assert len(notebook.saved().cells[1].outputs) <= 4


def test_a_run_survives_a_closed_tab(lab, page, browser):
    notebook_of(lab, "closed.ipynb", SETUP.format(minutes=0.35), TRAIN.replace("stopped", "closed"))
    notebook = Notebook(page, lab, "closed.ipynb")
    notebook.menu("Run", "Run All Cells")
    output(page, 1).get_by_text("%|").wait_for()
    page.close()
    again = browser.new_page(viewport={"width": 1280, "height": 900})
    again.set_default_timeout(1000 * PATIENCE)
    notebook = Notebook(again, lab, "closed.ipynb")  # waits until the kernel is idle
    (folder,) = lab.folder.glob("runs/closed-*")
    steps = rows_of(folder)
    assert (folder / "latest").exists()
    notebook.run_all()
    assert output(again, 1).get_by_text("finished: True").count() == 1
    assert rows_of(folder) == steps  # it was finished, and the cell only read it
    again.close()


def test_a_notebook_stays_usable_while_a_run_trains_beside_it(lab, page, out):
    notebook_of(lab, "beside.ipynb", SETUP.format(minutes=1), BESIDE, "print(6 * 7)")
    notebook = Notebook(page, lab, "beside.ipynb")
    notebook.menu("Run", "Run All Cells")
    output(page, 2).get_by_text("42").wait_for()  # at once, while it trains
    monitor = notebook.widget("training-monitor")
    monitor.box.get_by_text("steps a second").wait_for()
    before = monitor.pictures()
    monitor.changed(before)
    monitor.shot(out / "beside-under-way.png")
    monitor.box.get_by_role("button", name="Stop training").click()
    monitor.box.get_by_text("Stopped after step").wait_for()
    monitor.shot(out / "beside-stopped.png")
    assert (lab.folder / "runs" / "beside" / "latest").exists()
