"""Moved to :mod:`qkit.network.recipe`."""

from qkit.network.recipe import quiet

__all__ = ["quiet"]
