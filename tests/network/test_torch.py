"""PyTorch's own quantization of the deep network, as notebook 12 writes it, against qkit's numbers.

The listing stands in the notebook alone: its cells with the tag ``torch`` are what runs here.
"""

from importlib.util import find_spec

import nbformat
import numpy as np
import pytest

from qkit.digits import Digits, draw_digits
from qkit.network import activation_histograms, predict
from qkit.numeric import Accuracy, QuantParams, QuantSpec, quantize
from tests.conftest import ROOT

pytest.importorskip("torch", reason='pip install -e ".[torch]"', exc_type=ImportError)
if find_spec("torchao") is None:  # it is not imported here: that must not happen before the listing's first cell
    pytest.skip('pip install -e ".[torch]"', allow_module_level=True)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(deep, few_digits):
    """What the listing leaves behind, run on a network that has seen one epoch."""
    digits = Digits(few_digits.x_train, few_digits.y_train, *draw_digits(2_000, split=1), "stand-in digits", "drawn")
    weights = {layer.name: layer.get_weights() for layer in deep.layers if layer.get_weights()}
    kernels = {name: kernel for name, (kernel, _) in weights.items()}
    kernels |= {name: kernels[name].transpose(3, 2, 0, 1) for name in ("conv1", "conv2")}
    kernels["dense1"] = kernels["dense1"].reshape(5, 5, 64, 128).transpose(2, 0, 1, 3).reshape(1600, 128)
    names = dict(weights=weights, kernels=kernels, digits=digits, np=np, Accuracy=Accuracy)
    names["as_chw"] = lambda images: images[:, None] / np.float32(255)
    names["calibration"] = digits.x_train[:500]
    names["counted"] = activation_histograms(deep, names["calibration"], magnitude=True)
    (path,) = (ROOT / "notebooks").glob("12_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    for cell in [cell for cell in cells if "torch" in cell.metadata.get("tags", ())]:
        exec(cell.source, names)
    return names


def logits(page, model) -> np.ndarray:
    parts = page["torch"].tensor(page["as_chw"](page["digits"].x_test)).split(250)
    return np.concatenate([model(part).numpy() for part in parts])


def arguments(model, name: str) -> list:
    return [node.args for node in model.graph.nodes if node.name.startswith(name)]


def test_the_same_function_before_it_is_quantized(page, deep):
    z = logits(page, page["in_torch"]())
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(e / e.sum(axis=1, keepdims=True), predict(deep, page["digits"].x_test), atol=1e-5)


def test_scales_of_activations_are_minmax(page):
    largest = [page["counted"][name].largest for name in ("image", "conv1", "conv2", "dense1")]
    placed = arguments(page["in_pt2e"]["MinMax"], "quantize_per_tensor")
    assert {tuple(each[2:5]) for each in placed} == {(0, 0, 255)}  # zero-point, lowest and highest integer
    assert list(dict.fromkeys(each[1] for each in placed)) == pytest.approx([each / 255 for each in largest], rel=1e-5)
    default = dict.fromkeys(each[1] for each in arguments(page["in_pt2e"]["default"], "quantize_per_tensor"))
    assert all(0 < scale <= each / 255 * 1.0001 for scale, each in zip(default, largest, strict=True))


def test_integers_of_weights_are_those_of_quantize(page):
    """Up to ties, where PyTorch multiplies by 1 / scale in float32; max|w| is 127.5 steps, always nearly one."""
    model = page["in_pt2e"]["MinMax"]
    for (name, w), stored in zip(page["kernels"].items(), arguments(model, "dequantize_per_channel"), strict=True):
        w = w if w.ndim == 4 else w.T
        q, scale = (getattr(model, each.target).numpy() for each in stored[:2])
        np.testing.assert_allclose(scale * 127.5, abs(w).reshape(len(w), -1).max(axis=1), rtol=1e-6)
        ours = quantize(w, QuantParams(scale, np.zeros(len(scale), int), QuantSpec(symmetric=True, axis=0)))
        steps = np.float64(w) / np.expand_dims(scale, tuple(range(1, w.ndim)))
        tie = abs(abs(steps) % 1 - 0.5) < 1e-4
        assert np.array_equal(ours[~tie], q[~tie]), name
        assert abs(ours.astype(int) - q).max() <= 1, name
        assert tie.mean() < 0.2, name  # one of the nine weights of each channel in conv1, few elsewhere


@pytest.mark.parametrize("observer", ["default", "MinMax"])
def test_answers_stay(page, observer):
    answers = logits(page, page["in_pt2e"][observer]).argmax(axis=1)
    in_float = logits(page, page["in_torch"]()).argmax(axis=1)
    labels = page["digits"].y_test
    assert np.mean(answers == in_float) > 0.97
    assert abs(Accuracy.of(answers, labels).value - Accuracy.of(in_float, labels).value) < 0.02
