"""Where to clip: the histogram of a layer, what every method would choose, and a threshold under the learner's hand."""

from collections.abc import Mapping

import numpy as np

from qkit.numeric.histogram import Histogram
from qkit.show.canvas import Stage, number, share
from qkit.show.explorer import Explorer, choice, slider, stops
from qkit.show.explorers.threshold_numbers import View, comparable
from qkit.show.explorers.threshold_picture import Parts
from qkit.show.words.explorers import CONTROLS, METHODS, THRESHOLD

PERCENTILES = (95.0, 96.0, 97.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 99.999, 100.0)


def threshold(
    histograms: Mapping | Histogram | np.ndarray,
    *,
    images: str | None = None,
    layer: str | None = None,
    bits: int = 4,
    method: str = "mse",
    percentile: float = 99.9,
    end: float = 60.0,
) -> Explorer:
    """Show what every method that chooses a clipping threshold would choose, beside one chosen by hand.

    Parameters
    ----------
    histograms : Histogram, mapping of layers to histograms, or mapping of sets of images to such mappings
        Of magnitudes, of the activations or weights of each layer: ``{"dense1": histogram, ...}``. To compare what
        images the activations were counted on: ``{"10 images": {"dense1": histogram, ...}, "1,000 images": ...}``.
        An array is counted in 2,048 bins first.
    images, layer
        Where the controls start: by default, the first of each.
    bits, method, percentile, end
        Where the controls start; ``end`` is the threshold by hand, in per cent of the largest magnitude.

    Returns
    -------
    Explorer
        With the controls ``bits``, ``method``, ``percentile``, ``end`` and, where there are several, ``images`` and
        ``layer``.

    Raises
    ------
    ValueError
        If there is nothing to count, a value is not finite, a histogram is not one of magnitudes, not all sets have
        the same layers, or a control does not offer what it should start with.
    """
    sets = comparable(histograms)
    names = {"images": list(sets), "layer": list(next(iter(sets.values())))}
    stage = Stage(9, 6.2, Parts)

    def update(bits, method, percentile, end, images=names["images"][0], layer=names["layer"][0]) -> tuple[bytes, str]:
        view = View(sets[images][layer], bits, method, percentile, end)
        stage.parts.show(view)
        return stage.png(), say(view)

    controls = {
        name: choice(*CONTROLS[name], options[0], dict(zip(options, options, strict=True)))
        for name, options in names.items()
        if len(options) > 1
    }
    controls |= {
        "bits": slider(*CONTROLS["bits"], 4, 2, 8),
        "method": choice(*CONTROLS["method"], "mse", METHODS),
        "percentile": stops(*CONTROLS["percentile"], 99.9, {share: f"{share:g}" for share in PERCENTILES}),
        "end": slider(*CONTROLS["end"], 60, 1, 100, step=0.5),
    }
    start = {"images": images, "layer": layer, "bits": bits, "method": method, "percentile": percentile, "end": end}
    return Explorer(controls, update, stage.size, {name: at for name, at in start.items() if at is not None}, lines=6)


def say(view: View) -> str:
    """Say in words what the picture shows."""
    layer, chosen = view.layer, view.chosen
    if layer.data.largest == 0:
        return THRESHOLD["all_zero"].format(layer=layer.name)
    sentences = [
        THRESHOLD["chosen"].format(
            layer=layer.name,
            bits=view.bits,
            kind=THRESHOLD["signed" if layer.data.signed else "unsigned"],
            name=view.name(view.method),
            value=number(chosen.value),
            share=share(chosen.value / layer.reach),
            why=chosen.why.replace("e-", "e−"),
        ),
        THRESHOLD["hand"].format(
            value=number(view.hand),
            percent=number(view.end),
            clipped=share(view.clipped),
            clipping=number(view.clipping),
            rounding=number(view.rounding),
            sum=number(view.clipping + view.rounding),
        ),
    ]
    if view.divergence:
        low, high = (number(layer.percent(end)) for end in chosen.candidates[[0, -1]])
        kind = "untried" if np.isnan(view.at_hand) else "divergence" if np.isfinite(view.at_hand) else "infinite"
        sentences.append(THRESHOLD[kind].format(divergence=number(view.at_hand), low=low, high=high))
    if layer.zeros:
        sentences.append(THRESHOLD["left_out"].format(zeros=share(layer.zeros)))
    if layer.data.largest < layer.reach:
        sentences.append(THRESHOLD["reach"].format(largest=number(layer.data.largest), reach=number(layer.reach)))
    every = (
        THRESHOLD["at" if found else "nowhere"].format(
            name=view.name(method), share=found and share(found.value / layer.reach)
        )
        for method, found in view.found.items()
    )
    return " ".join([*sentences, THRESHOLD["every"].format(every="; ".join(every))])
