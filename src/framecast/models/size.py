"""What the weights of a network would take, known before there are any."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.models.model import Model

MOST_TENSORS = 30_000
"""Weights, as tensors, that a network may have: each costs Python some kilobytes and a moment."""
TRAINING_COPIES = 4
"""What training keeps of each weight: itself, its gradient, and two moments of Adam."""


def weight_shapes(
    make: Callable[[], Model], what: str, copies: int = 1
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that a network would have, by name.

    The network is built without memory for numbers, and its building ends as soon as it is known
    that it will be too large.

    Args:
        make: builds the network.
        what: needs the memory, such as "the network".
        copies: of each weight that will be in memory at once.

    Raises:
        UserError: if the weights would not fit into the memory that is available.
    """
    try:
        with _counted(what, copies), torch.device("meta"):
            model = make()
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise UserError(
            f"{what} would have more weights than numbers can count: {LOWER}"
        ) from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@contextmanager
def _counted(what: str, copies: int) -> Iterator[None]:
    """Add up the bytes of all parameters that modules register, and refuse too many."""
    tensors, size = 0, 0

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal tensors, size
        if parameter is None:
            return
        tensors, size = tensors + 1, size + parameter.numel() * parameter.element_size()
        if tensors > MOST_TENSORS:
            raise UserError(f"{what} would have more than {MOST_TENSORS:,} weight tensors: {LOWER}")
        check_memory(copies * size, what, f"To lower it, {LOWER}.")

    handle: Any = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


LOWER = "choose a smaller model.hidden or model.depth, or smaller options of its layers"
