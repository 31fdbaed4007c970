"""A browser and a server for all browser tests; without them the tests are skipped, or fail if they must run."""

import os
import shutil
from contextlib import ExitStack, contextmanager

import lab
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Photograph all open pages when a test fails."""
    report = yield
    if report.failed and (browser := item.funcargs.get("browser")):
        for number, page in enumerate(page for context in browser.contexts for page in context.pages):
            page.screenshot(path=lab.ARTIFACTS / f"failed-{item.name}-{number}.png")
    return report


@contextmanager
def _or_skip():
    try:
        yield
    except lab.Missing as error:
        if os.environ.get("QKIT_REQUIRE_BROWSER") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser():
    with _or_skip(), lab.launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, so that no test writes into them; gives folder and URL maker."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(lab.ROOT / "notebooks", folder / "work", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with _or_skip(), lab.serve(folder) as url:
        yield folder / "work", url


@pytest.fixture(scope="module")
def run_in_lab(browser, server):
    """Give a function that opens a notebook, runs all of it, and returns the page with its explorers."""
    _, url = server
    with ExitStack() as pages:

        def run(name: str, count: int):
            page = pages.enter_context(lab.new_page(browser))
            assert lab.open_and_run(page, url(name)) == []
            return page, lab.explorers(page, count)

        yield run
