"""What each layer of a Keras network costs: parameters, multiplications, bytes."""

import math

import pandas as pd


def layer_costs(model) -> pd.DataFrame:
    """Return a table with one row per layer of a ``Sequential`` model.

    Columns: ``output`` (shape for one image), ``parameters``, ``multiply-accumulates`` (for one image; 0 for
    layers that only move or compare numbers), ``bytes`` (the parameters as float32).
    """
    rows = []
    for layer in model.layers:
        output = layer.output_shape[1:]
        kernel = getattr(layer, "kernel", None)
        # Each output number is a dot product with all weights of its channel.
        macs = 0 if kernel is None else math.prod(output) * math.prod(kernel.shape[:-1])
        rows.append(
            {
                "layer": layer.name,
                "output": " × ".join(f"{side:,}" for side in output),
                "parameters": layer.count_params(),
                "multiply-accumulates": macs,
                "bytes": 4 * layer.count_params(),
            }
        )
    return pd.DataFrame(rows).set_index("layer")
