"""Networks that several modules test with: trained once a session, and never changed."""

import pytest

from qkit.network import build, convert, train, trained
from qkit.network.litert import KINDS


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory):
    """A data folder for the whole session, where :func:`shallow` is kept."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="session")
def shallow(few_digits, kept_folder):
    """The shallow network, trained on a few digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QKIT_DATA", str(kept_folder))
        return trained("shallow", few_digits)


@pytest.fixture(scope="session")
def shallow_files(shallow, few_digits):
    """The shallow network in every kind of file."""
    return {kind: convert(shallow, kind, few_digits.x_train[:100]) for kind in KINDS}


@pytest.fixture(scope="session")
def deep(few_digits):
    """The deep network after one short epoch."""
    model = build("deep", seed=1)
    train(model, few_digits, epochs=1)
    return model
