"""Weights shared out among processes, for networks that no single one could train.

Each process keeps a part of every weight, of its gradient and of the optimiser's state. PyTorch's
FSDP2 puts the weights of a layer together before it runs, forward and backward, and adds gradients
up where they belong. What is written, and read back, are whole weights.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from framecast.base.ranks import Ranks
from framecast.layers.recurrence import is_layer


def shard(model: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Share out the weights of a network, which all processes hold alike.

    Args:
        model: its layers, and what is around them, are put together one at a time.
        ranks: the processes; all of them run forward and backward passes together.
        device: that this one computes on.
    """
    # These take a moment to import.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (ranks.count,))
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # all FSDP takes
    layers = [module for module in model.modules() if is_layer(module)]
    for module in (*layers, model):
        fully_shard(module, mesh=mesh)
        register_fsdp_forward_method(module, "step")
        sharded = cast(FSDPModule, module)
        sharded.set_gradient_divide_factor(1.0)  # losses are sums, and gradients too
        sharded.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def put_together(values: Any, keep: bool) -> Any:
    """Return nested values with whole tensors on the processor in the place of shared ones.

    All processes call it together.

    Args:
        values: such as the state of an optimiser.
        keep: whether this process wants them; others get shared tensors back as they are.
    """

    def whole(tensor: Tensor) -> Tensor:
        if not hasattr(tensor, "full_tensor"):
            return tensor
        full: Tensor = tensor.full_tensor()
        return full.cpu() if keep else tensor

    return pytree.tree_map_only(Tensor, whole, values)


def share_like(values: Mapping[str, Any], like: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return tensors by name, shared out as their namesakes are; all processes call it together."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    shared = dict(values)
    for name, namesake in like.items():
        if isinstance(namesake, DTensor):
            whole = shared[name].to(namesake.device)
            shared[name] = distribute_tensor(whole, namesake.device_mesh, namesake.placements)
    return shared
