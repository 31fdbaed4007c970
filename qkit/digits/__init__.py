"""The images: MNIST, and a stand-in that is drawn on the spot when MNIST cannot be had. NumPy only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"load": ["Digits", "download_mnist", "load_digits", "read_digits"], "standin": ["draw_digits"]},
)
