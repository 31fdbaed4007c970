"""The explorers: one function each, arrays in, an :class:`qkit.show.explorer.Explorer` out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": ["answers"],
        "two_accuracies": ["two_accuracies"],
    },
)
