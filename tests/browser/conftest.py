"""A browser and a server for all browser tests; without them the tests are skipped, or fail if they must run."""

import os
import shutil

import lab
import pytest


def _missing(error: lab.Missing):
    if os.environ.get("QKIT_REQUIRE_BROWSER") == "1":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser():
    try:
        with lab.launch() as browser:
            yield browser
    except lab.Missing as error:
        _missing(error)


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, so that no test writes into them; gives folder and URL maker."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    for notebook in (lab.ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, folder / "work")
    try:
        with lab.serve(folder) as url:
            yield folder / "work", url
    except lab.Missing as error:
        _missing(error)


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    yield page
    # A kernel with TensorFlow holds a gigabyte.
    page.evaluate("() => window.jupyterapp && window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()
