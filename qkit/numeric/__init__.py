"""Quantization of arrays, in NumPy alone: the heart of the kit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["codebook", "curves", "fixed_point", "formats", "integer_layers", "rounding", "thresholds"],
    submod_attrs={
        "accuracy": ["Accuracy", "Mean", "Paired", "holm"],
        "affine": [
            "dequantize",
            "fake_quantize",
            "params_from_data",
            "params_from_range",
            "quantize",
            "QuantParams",
            "QuantSpec",
            "straight_through",
        ],
        "errors": ["mse", "share_clipped", "sqnr_db"],
        "fixed_point": ["FixedPointMultiplier", "quantize_multiplier", "rescale", "RUNTIMES"],
        "histogram": ["Histogram", "histogram_of", "Range", "range_of", "Samples"],
        "integer_layers": ["Convolution", "Dense"],
        "thresholds": ["Threshold"],
    },
)
