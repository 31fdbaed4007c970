"""Quantization of whole Keras networks. TensorFlow enters qkit here and nowhere below."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["compress", "language", "project", "qat", "repair", "riddle"],
    submod_attrs={
        "chain": ["fold"],
        "cnn": ["build", "kernels_replaced", "layer_costs", "predict", "train", "trained"],
        "integer": ["IntegerNetwork"],
        "litert": ["convert", "deploy", "LiteModel"],
        "recipe": ["NETWORKS", "trained_weights"],
        "simulate": ["QuantizedNetwork", "Simulation", "activation_histograms", "channel_peaks", "predict_quantized"],
        "study": ["Cell", "Results"],
    },
)
