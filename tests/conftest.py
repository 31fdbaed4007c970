"""What tests share. Tests keep their files in a folder of their own, never in data/."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from qkit.digits import Digits, draw_digits

# A busy machine makes no test fail, and no run depends on the one before.
settings.register_profile("qkit", deadline=None, database=None, max_examples=60)
settings.load_profile("qkit")

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = dict(os.environ)
"""As it was before any test changed it: for programs that a learner would start."""


@pytest.fixture(autouse=True)
def data_home(tmp_path, monkeypatch) -> Path:
    """Give each test an empty data folder, no MNIST anywhere, and no network."""
    monkeypatch.setenv("QKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("QKIT_OFFLINE", "1")
    monkeypatch.delenv("QKIT_MNIST", raising=False)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def few_digits() -> Digits:
    """Enough stand-in digits to train on for a moment."""
    x_train, y_train = draw_digits(6_500, split=0)
    x_test, y_test = draw_digits(500, split=1)
    return Digits(x_train, y_train, x_test, y_test, name="stand-in digits", source="drawn for a test")


@pytest.fixture
def mnist_like() -> dict[str, np.ndarray]:
    """Arrays in MNIST's layout, of noise."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (60, 28, 28), np.uint8),
        "y_train": rng.integers(0, 10, 60, np.uint8),
        "x_test": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "y_test": rng.integers(0, 10, 10, np.uint8),
    }
