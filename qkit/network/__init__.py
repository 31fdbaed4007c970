"""Quantization of whole Keras networks. TensorFlow enters qkit here and nowhere below."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["qat"],
    submod_attrs={
        "accuracy": ["Accuracy", "Paired"],
        "cnn": ["build", "predict", "train", "trained"],
        "cost": ["layer_costs"],
        "integer": ["IntegerNetwork"],
        "litert": ["convert", "deploy", "Latency", "LiteModel"],
        "measured": ["Measured"],
        "observe": ["activation_histograms", "channel_peaks"],
        "quantized": ["QuantizedNetwork", "predict_quantized"],
        "recipe": ["NETWORKS", "trained_weights"],
        "simulate": ["Simulation", "kernels_replaced"],
        "study": ["Cell", "Results"],
    },
)
