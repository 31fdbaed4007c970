"""The study: what is measured, once; interrupted, damaged, in other processes, on a cluster."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from qkit.digits import Digits
from qkit.network import study
from qkit.network.study import Cell, cells


@pytest.fixture
def digits(few_digits):
    """So few that a network is trained on them in a second."""
    return Digits(
        few_digits.x_train[:500], few_digits.y_train[:500], few_digits.x_test, few_digits.y_test, "stand-in digits", ""
    )


@pytest.fixture
def measured(monkeypatch):
    """Methods that answer at once, and the list of cells they were asked for."""
    asked = []

    def answers(cell, model, digits, images):
        asked.append(cell)
        return np.eye(10)[(digits.y_test + (np.arange(len(digits.y_test)) < cell.weight_bits)) % 10]

    monkeypatch.setattr(study, "METHODS", dict.fromkeys(study.METHODS, answers))
    monkeypatch.setattr(study, "trained", lambda *_: None)
    return asked


def test_cells_are_all_combinations_and_float_has_no_bits():
    found = cells(["deep"], ["float", "PTQ MSE"], [8, (4, 8), 8], [0, 1])
    assert found == [
        Cell("deep", "float", 32, 32, 0),
        Cell("deep", "float", 32, 32, 1),
        Cell("deep", "PTQ MSE", 8, 8, 0),
        Cell("deep", "PTQ MSE", 8, 8, 1),
        Cell("deep", "PTQ MSE", 4, 8, 0),
        Cell("deep", "PTQ MSE", 4, 8, 1),
    ]


def test_unknown_method():
    with pytest.raises(ValueError, match=r"one of float, .*got 'magic'"):
        cells(methods=["magic"])


@pytest.mark.parametrize("bits", [[1], [16], [(8,)], [(8, 9)], [2.5]])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError, match="integers from 2 to 8"):
        cells(bits=bits)


def test_numpy_bits_and_unknown_networks():
    assert cells(["deep"], ["PTQ MSE"], np.array([8]))[0] == Cell("deep", "PTQ MSE", 8, 8)
    with pytest.raises(ValueError, match="one of shallow, deep, got 'wide'"):
        cells(["wide"])


def test_results(measured, few_digits):
    results = study.run(cells(["deep"], ["float", "PTQ MSE"], [8]), few_digits)
    right, wrong = Cell("deep", "PTQ MSE", 8, 8), Cell("deep", "float", 32, 32)
    total = len(few_digits.y_test)
    assert (results.accuracy(right).correct, results.accuracy(wrong).correct) == (total - 8, total - 32)
    assert (results.paired(wrong, right).only_first, results.paired(wrong, right).only_second) == (0, 24)
    table = results.table()
    assert list(table["method"]) == ["float", "PTQ MSE"]
    assert np.all((table["low"] < table["accuracy"]) & (table["accuracy"] < table["high"]))
    assert np.all(table["seconds"] >= 0)


def test_an_interrupted_run_goes_on_where_it_was(measured, few_digits, monkeypatch):
    wanted = cells(["deep"], ["PTQ MSE", "QAT LSQ"], [8, 4, 2])
    answers = study.METHODS["QAT LSQ"]

    def interrupted(cell, model, digits, images):
        if cell.weight_bits == 4:
            raise KeyboardInterrupt
        return answers(cell, model, digits, images)

    monkeypatch.setitem(study.METHODS, "QAT LSQ", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(wanted, few_digits)
    assert measured == wanted[:4]
    monkeypatch.setitem(study.METHODS, "QAT LSQ", answers)
    results = study.run(wanted, few_digits)
    assert measured == wanted and list(results.predicted) == wanted
    assert study.run(wanted, few_digits).table().equals(results.table()) and measured == wanted


def test_a_damaged_cell_is_measured_again(measured, few_digits):
    (cell,) = cells(["deep"], ["float"])
    first = study.run([cell], few_digits)
    study.kept_path(cell, few_digits).write_bytes(b"half a fi")
    with pytest.warns(UserWarning, match="made again"):
        again = study.run([cell], few_digits)
    assert measured == [cell, cell] and np.array_equal(first.predicted[cell], again.predicted[cell])


def test_other_digits_are_another_cell(measured, few_digits, digits):
    (cell,) = cells(["deep"], ["float"])
    assert study.kept_path(cell, few_digits) != study.kept_path(cell, digits)


def test_more_training_is_measured_anew(few_digits, monkeypatch):
    monkeypatch.setattr(study, "trained", lambda *_: None)

    def answers(cell, model, digits, images):
        return np.eye(10)[(digits.y_test + images) % 10]

    monkeypatch.setitem(study.METHODS, "QAT LSQ", answers)
    (cell,) = cells(["deep"], ["QAT LSQ"], [8])
    with ThreadPoolExecutor(1) as executor:
        for where in (executor, None):
            more, fewer = (study.run([cell], few_digits, where, images).accuracy(cell) for images in (1, 0))
            assert (more.value, fewer.value) == (0, 1)


def test_what_does_not_train_is_measured_once_for_any_number_of_images(measured, few_digits):
    for images in (1, np.int64(1), 2):
        study.run(cells(["deep"], bits=[8]), few_digits, images=images)
    methods = [cell.method for cell in measured]
    assert {method: methods.count(method) for method in study.METHODS} == {
        method: 2 if method == "float, tuned" or method.startswith("QAT") else 1 for method in study.METHODS
    }


def test_methods_train_as_they_say(monkeypatch, few_digits):
    """Each with its own quantizers, and all with the same images and seed."""
    seen = []

    def network(model, digits, *settings, **more):
        seen.append((*settings, *more.values()))
        return SimpleNamespace(predict=lambda images: np.eye(10)[digits.y_test])

    monkeypatch.setattr(study.qat, "train", network)
    monkeypatch.setattr(study, "train", lambda model, digits, **settings: seen.append(settings))
    monkeypatch.setattr(study, "trained", lambda *_: None)
    monkeypatch.setattr(study, "predict", lambda model, images: np.eye(10)[few_digits.y_test])
    study.run(cells(["deep"], study.TRAINING, [(2, 4)], [7]), few_digits, images=99)
    tuned = {"epochs": 1, "seed": 7, "images": 99, "learning_rate": study.qat.LEARNING_RATE}
    assert seen == [tuned, (2, 4, "plain", 7, 99), (2, 4, "lsq", 7, 99)]


def test_threads_measure_what_a_loop_measures(measured, few_digits, tmp_path, monkeypatch):
    wanted = cells(["deep", "shallow"], ["PTQ MSE"], [8, 2])
    output = sys.stdout
    with ThreadPoolExecutor(3) as executor:
        results = study.run(wanted, few_digits, executor)
    assert sys.stdout is output
    assert sorted(measured) == sorted(wanted) and list(results.predicted) == wanted
    monkeypatch.setenv("QKIT_DATA", str(tmp_path / "loop"))
    assert_same(results, study.run(wanted, few_digits))


def assert_same(one, other):
    assert list(one.predicted) == list(other.predicted)
    assert all(np.array_equal(one.predicted[cell], other.predicted[cell]) for cell in one.predicted)


def test_a_cell_that_fails_does_not_lose_the_others(measured, few_digits, monkeypatch):
    def fails(cell, model, digits, images):
        raise RuntimeError("out of memory")

    monkeypatch.setitem(study.METHODS, "QAT LSQ", fails)
    good, bad = cells(["deep"], ["PTQ MSE", "QAT LSQ"], [8])
    with ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="out of memory"):
        study.run([good, bad], few_digits, executor)
    study.run([good], few_digits)
    assert measured == [good]


WANTED = cells(["shallow"], ["float", "PTQ MSE"], [2])


def test_processes_measure_what_a_loop_measures(digits, tmp_path, monkeypatch):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        elsewhere = study.run(WANTED, digits, executor)
    assert study.run(WANTED, digits).table().equals(elsewhere.table()), "kept by the other process, and found here"
    monkeypatch.setenv("QKIT_DATA", str(tmp_path / "here"))
    assert_same(study.run(WANTED, digits), elsewhere)


def test_a_dask_cluster(digits, tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "local_directory": str(tmp_path)}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        results = study.run(WANTED, digits, client.get_executor())
    assert list(results.predicted) == WANTED
    assert all(study.kept_path(cell, digits).exists() for cell in WANTED)
