"""Where a loss that is no number began."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from framecast.frames.batch import Batch
from framecast.models.model import Model
from framecast.models.unroll import Unrolling


def first_failure(model: Model, batch: Batch, unrolling: Unrolling) -> str:
    """Say where the first value that is not finite comes from.

    Args:
        model: the network as it was when the loss failed.
        batch: the windows of that step.
        unrolling: how they were gone through.

    Returns:
        The input, a weight (damaged by an earlier step's gradient), or the first module, in
        the order of evaluation, whose output is not finite.
    """
    bad = ~batch.frames.isfinite()
    if bad.any():
        window, frame = (int(i) for i in bad.flatten(2).any(2).nonzero()[0])
        place = f" {frame} of the window at {tuple(batch.places[window])}" if batch.places else "s"
        return f"in the input frame{place}"
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"in the gradient of the step before, which damaged the weight {name}"
    failed: list[str] = []
    hooks = [m.register_forward_hook(_watch(n, failed)) for n, m in model.named_modules() if n]
    try:
        with torch.no_grad():
            list(model.losses(batch, unrolling))
    finally:
        for hook in hooks:
            hook.remove()
    return f"in layer {failed[0]}" if failed else "in the loss itself"


def _watch(name: str, failed: list[str]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: object, output: object) -> None:
        tensors = [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]
        if not all(t.isfinite().all() for t in tensors):
            failed.append(name)

    return hook
