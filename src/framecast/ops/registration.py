"""How an op becomes one of torch's: kernel, rule for shapes and rule for gradients.

Ops are defined with `torch.library.Library`, which costs a call 2 µs less than
`torch.library.custom_op` does: the closed loop of a forecast calls them for one frame at a
time. Kernels see tensors that were checked, dense and in one layout, and the rules for shapes
promise what they return.
"""

from collections.abc import Callable
from typing import Any

import torch

_LIBRARY = torch.library.Library("framecast", "DEF")  # type: ignore[no-untyped-call]


def define(
    name: str,
    kernel: Callable[..., Any],
    shapes: Callable[..., Any],
    check: Callable[..., None],
) -> Any:
    """Register the op `framecast::name`.

    Args:
        name: of the op.
        kernel: what it computes; its annotations are the op's schema.
        shapes: from the same arguments, empty results of the same shape and layout.
        check: raises if it may not be called with these arguments.

    Returns:
        The op, to be called.
    """

    def checked_kernel(*arguments: Any) -> Any:
        check(*arguments)
        return kernel(*arguments)

    def checked_shapes(*arguments: Any) -> Any:
        check(*arguments)
        return shapes(*arguments)

    _LIBRARY.define(  # type: ignore[no-untyped-call]
        name + torch.library.infer_schema(kernel, mutates_args=()),
        tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides),
    )
    _LIBRARY.impl(name, checked_kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"framecast::{name}", checked_shapes, lib=_LIBRARY)
    return getattr(torch.ops.framecast, name).default


def differentiate(name: str, backward: Callable[..., Any], keep: Callable[..., Any]) -> None:
    """Give the op `framecast::name` its rule for gradients.

    Args:
        name: of the op.
        backward: from the context and the gradients of the results, those of the arguments.
        keep: puts into the context what `backward` needs.
    """
    torch.library.register_autograd(
        f"framecast::{name}", backward, setup_context=keep, lib=_LIBRARY
    )
