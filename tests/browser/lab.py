"""A real JupyterLab in a real Chromium: start both, open a notebook, run it, find its explorers."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "tests" / "artifacts"
PATIENCE = 60_000
"""Milliseconds to wait for anything on a page: a machine that does other work too takes many seconds."""
expect.set_options(timeout=PATIENCE)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


class Missing(Exception):
    """There is no browser on this machine; the message says how to get one."""


def chromium() -> str:
    """Return the path of an installed Chromium."""
    wanted = (os.environ.get("QKIT_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in wanted if name and (path := shutil.which(name))), None)
    if found is None:
        raise Missing("no Chromium found; install one (apt-get install chromium) or name it in QKIT_CHROMIUM")
    return found


@contextmanager
def launch():
    """Start a headless Chromium."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serve(folder: Path):
    """Start JupyterLab on ``folder/work``, its settings in ``folder`` too; gives a function from file to URL."""
    settings = folder / "config" / "labconfig"
    settings.mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"
    (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": {news: True}}))
    # Else only cells near the visible ones are in the page.
    tracker = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
    (settings / "default_setting_overrides.json").write_text(json.dumps(tracker))
    token = secrets.token_hex(8)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        # A page whose application can be asked to run cells, and says when they are done.
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        f"--ServerApp.root_dir={folder / 'work'}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            _wait_for(server, f"http://127.0.0.1:{port}/api/status?token={token}", folder / "lab.log")
            yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?reset&token={token}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(server: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + 90
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def new_page(browser):
    """Open an empty page that keeps the errors of its scripts in ``faults``; its kernels end with it."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    try:
        yield page
    finally:
        # A kernel with TensorFlow holds a gigabyte.
        page.evaluate("() => window.jupyterapp && window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.close()


def open_and_run(page, url: str) -> list[str]:
    """Open a notebook, run all of it, and return the errors of its cells."""
    page.goto(url)
    page.wait_for_selector(".jp-NotebookPanel .jp-Notebook .jp-Cell")
    # The indicator is idle already while the kernel's name still is "No Kernel"; a run would then ask for one.
    page.wait_for_function(
        """() => {
            const kernel = document.querySelector('.jp-KernelName')
            const state = document.querySelector('.jp-Notebook-ExecutionIndicator')
            return kernel && kernel.innerText.trim() !== 'No Kernel'
                && state && state.dataset.status === 'idle' && window.jupyterapp
        }"""
    )
    # A kernel counts as idle before it has answered; widgets ask it for what it holds when it has.
    page.evaluate(
        """async () => {
            const context = window.jupyterapp.shell.currentWidget.sessionContext
            await context.ready
            await context.session.kernel.info
        }"""
    )
    # Stored prompts such as [3] say nothing about this run; the command comes back when the last cell is done.
    done = run(page, "notebook:run-all-cells")()
    errors = page.evaluate(
        """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
            .filter(cell => cell.type === 'code')
            .flatMap(cell => [...Array(cell.outputs.length).keys()].map(i => cell.outputs.get(i).toJSON()))
            .filter(output => output.output_type === 'error')
            .map(output => output.ename + ': ' + output.evalue)"""
    )
    return errors if done or errors else ["the run was interrupted"]


def run(page, command: str):
    """Start a command of JupyterLab; return a function that waits for its end and gives what it returned."""
    page.evaluate(
        """command => {
            window.qkitDone = null
            window.jupyterapp.commands.execute(command).then(
                value => { window.qkitDone = [value] }, error => { window.qkitDone = [String(error)] })
        }""",
        command,
    )
    return lambda: page.wait_for_function("() => window.qkitDone", timeout=5 * PATIENCE).json_value()[0]


def explorers(page, count: int) -> list:
    """Wait for all explorers on the page, complete with picture, words and controls, and return them."""
    live = page.locator(".widget-html-content .qkit-picture")
    found = page.locator(".jp-OutputArea-child", has=live).filter(has=page.locator(".widget-slider"))
    expect(found).to_have_count(count)
    # A control that is still to come has an empty place in its box.
    expect(page.locator(".widget-box > :empty")).to_have_count(0)
    return found.all()


def focus_slider(explorer) -> tuple:
    """Focus the first slider of an explorer; return its handle and the key that moves it away from its end."""
    handle = explorer.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    at_end = float(handle.get_attribute("aria-valuenow")) >= float(handle.get_attribute("aria-valuemax"))
    return handle, "ArrowLeft" if at_end else "ArrowRight"
