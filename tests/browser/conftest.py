"""Tests in a real JupyterLab in a real browser: by `pytest -m browser` or `make test-browser`."""

import os
import shutil
from pathlib import Path

import lab_page as jupyter
import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    wanted = "browser" in (config.getoption("-m") or "")
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.browser)
    if not wanted:
        config.hook.pytest_deselected(items=mine)
        items[:] = [item for item in items if item not in mine]


@pytest.fixture(scope="session")
def out():
    """Where screenshots go: runs/browser, or T2I_BROWSER_OUT."""
    folder = Path(os.environ.get("T2I_BROWSER_OUT") or jupyter.ROOT / "runs" / "browser")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory, out):
    """JupyterLab with copies of the notebooks."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(jupyter.ROOT / "notebooks", folder / "notebooks")
    with jupyter.server(folder, tmp_path_factory.mktemp("home") / "empty", out) as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    api = pytest.importorskip("playwright.sync_api")
    path = jupyter.browser_path()
    if path is None:
        pytest.skip("There is no Chromium here: install it, or say where it is by T2I_BROWSER.")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(jupyter.SWITCHES))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, lab, out, request):
    """A page of its own, as wide as a small laptop's; where a test fails, what it shows is kept."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(1000 * jupyter.PATIENCE)
    failed = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed and not page.is_closed():
        page.screenshot(path=out / f"failed-{request.node.name}.png")
    page.close()
    lab.forget()
