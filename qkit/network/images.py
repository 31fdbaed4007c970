"""The images that a network is given, checked without TensorFlow."""

import numpy as np


def check_images(images: np.ndarray) -> np.ndarray:
    """Return the images as an array, and refuse what are not grey levels.

    Raises
    ------
    ValueError
        If there is no image, or they are not uint8 of shape (n, 28, 28).
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise ValueError(
            "images must be grey levels, uint8 of shape (n, 28, 28) with at least one image, "
            f"got {images.dtype} of shape {images.shape}"
        )
    return images
