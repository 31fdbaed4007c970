"""Figures: arrays in, a :class:`qkit.show.Picture` out, one function each. The lesson's numbers come from outside."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arrays": ["clipping_and_rounding", "error_by_bits", "histograms"],
        "digits": ["digit_grid", "mistakes", "pixel_values"],
        "first_steps": ["convolution", "ruler"],
        "thresholds": ["chosen", "criterion", "descent"],
        "network": [
            "accuracy_by_bits",
            "accuracy_intervals",
            "bytes_by_layer",
            "confusion",
            "sqnr_and_accuracy",
            "training_curves",
        ],
    },
)
