"""Quantization of arrays, in NumPy alone: the heart of the kit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["thresholds"],
    submod_attrs={
        "accuracy": ["Accuracy", "Paired"],
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
        "errors": [
            "cosine_similarity",
            "effective_bits",
            "max_error",
            "mse",
            "share_clipped",
            "sqnr_db",
        ],
        "fixed_point": [
            "FixedPointMultiplier",
            "quantize_multiplier",
            "rescale",
            "rescale_float32",
            "rescale_float64",
            "RUNTIMES",
            "Requantized",
            "Requantizer",
        ],
        "integer_layers": ["Convolution", "Dense", "Trace"],
        "histogram": ["Histogram", "Range", "histogram_of", "range_of"],
        "thresholds": ["Threshold"],
    },
)
