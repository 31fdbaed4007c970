"""qkit: neural-network quantization that you can see, move and measure.

From the ground up: :mod:`qkit.digits` has the images, :mod:`qkit.numeric` quantizes arrays,
:mod:`qkit.network` quantizes Keras networks, :mod:`qkit.show` draws and checks.
Each is loaded when it is first used, so ``import qkit`` costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["digits", "network", "numeric", "show"],
    submod_attrs={
        "digits": ["load_digits"],
        "network": ["trained"],
        "numeric": [
            "QuantParams",
            "QuantSpec",
            "dequantize",
            "fake_quantize",
            "params_from_data",
            "params_from_range",
            "quantize",
        ],
        "show": ["check"],
    },
)
