"""The check of the machine says what is missing."""

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

from qkit.show import check_environment, environment


def test_this_machine_is_ready():
    table = check_environment()
    assert set(table["enough"]) == {"yes"}
    assert {"Python", "tensorflow", "numpy", "memory", "free disk"} <= set(table.index)


def test_a_data_folder_that_is_not_there_yet_or_cannot_be(monkeypatch, tmp_path):
    for folder in (tmp_path / "a" / "b" / "c", tmp_path / ("a" * 1_000) / "b"):
        monkeypatch.setenv("QKIT_DATA", str(folder))
        assert check_environment().loc["free disk", "enough"] == "yes"


def test_a_folder_that_a_teacher_has_filled_needs_no_room(monkeypatch, data_home):
    monkeypatch.setattr(environment.os, "access", lambda *_: False)
    assert "free disk" in check_environment().index  # there is none yet
    data_home.mkdir()
    assert "free disk" not in check_environment().index


def test_two_gigabytes_in_whole_pages_are_enough(monkeypatch):
    monkeypatch.setattr(environment.psutil, "virtual_memory", lambda: SimpleNamespace(total=2 * 10**9 // 4096 * 4096))
    assert check_environment().loc["memory", "enough"] == "yes"


def test_what_is_missing_is_said(monkeypatch):
    def version(name):
        if name == "nbval":
            raise PackageNotFoundError(name)
        return "0.0.1" if name == "tensorflow" else "2.99"

    monkeypatch.setattr(environment, "version", version)
    monkeypatch.setattr(environment, "MEMORY_NEEDED", 10**6)
    table = check_environment()
    assert table.loc["nbval", "enough"] == "NO: run make lab"
    assert table.loc["tensorflow", "enough"] == "NO"
    assert table.loc["memory", "enough"] == "NO"
