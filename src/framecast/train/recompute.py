"""Layers that keep their inputs only: what lies inside is computed again in the backward pass.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
"""

from functools import partial

from torch.utils.checkpoint import checkpoint

from framecast.layers import Recurrence
from framecast.layers.recurrence import is_layer
from framecast.models.model import Model


def recompute_layers(model: Model) -> None:
    """Let each recurrent layer, and what stands before and after the stack, keep inputs only.

    What lies inside a layer is computed again in the backward pass, one layer at a time.
    """
    layers = [module for module in model.modules() if is_layer(module)]
    around = [part for part in model.children() if not isinstance(part, Recurrence)]
    for module in (*around, *layers):
        _recompute(module, "forward")
    for layer in layers:
        _recompute(layer, "step")


def _recompute(module: object, method: str) -> None:
    setattr(module, method, partial(checkpoint, getattr(module, method), use_reentrant=False))
