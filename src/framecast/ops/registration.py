"""How an op becomes one of torch's: kernel, rule for shapes and rules for gradients.

Ops are defined with `torch.library.Library`, which costs a call 2 µs less than
`torch.library.custom_op` does: the closed loop of a forecast calls them for one frame at a
time. Kernels see tensors that were checked, dense and in one layout, and the rules for shapes
promise what they return.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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


def past_autograd(op: Any) -> Callable[..., Any]:
    """The op, past its rule for gradients where none are recorded: 5 µs less in a backward pass.

    Only the op itself may be called so: what unpacks saved tensors may record gradients of its own.
    """

    def call(*arguments: Any) -> Any:
        if torch.is_grad_enabled():
            return op(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*arguments)

    return call


def differentiate_again(name: str, again: Callable[..., Any]) -> None:
    """Give the op `framecast::name`, which computes gradients, a rule for their gradients.

    Args:
        name: of the op.
        again: the same function of the same arguments in code that autograd goes through, and
            that can itself be differentiated any number of times.
    """

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        is_tensor = [isinstance(x, Tensor) for x in inputs]
        ctx.others = [None if kept else x for x, kept in zip(inputs, is_tensor, strict=True)]
        ctx.is_tensor = is_tensor
        ctx.save_for_backward(*(x for x, kept in zip(inputs, is_tensor, strict=True) if kept))

    def rule(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        with torch.enable_grad():
            # A view each: the same tensor may be several arguments.
            arguments = [
                (x := next(saved)).view_as(x) if kept else other
                for kept, other in zip(ctx.is_tensor, ctx.others, strict=True)
            ]
            results = again(*arguments)
        needed = [x for x, need in zip(arguments, ctx.needs_input_grad, strict=True) if need]
        found = iter(_gradients(results, needed, grads, torch.is_grad_enabled()))
        return tuple(next(found) if need else None for need in ctx.needs_input_grad)

    differentiate(name, rule, keep)


def pull_back(
    function: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The gradients of a function's inputs, which can be differentiated as often as it can."""
    with torch.enable_grad():
        leaves = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        return _gradients(function(*leaves), leaves, grads, True)


def _gradients(
    results: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor],
    create_graph: bool,
) -> tuple[Tensor, ...]:
    results = [results] if isinstance(results, Tensor) else results
    pairs = [pair for pair in zip(results, grads, strict=True) if pair[0].requires_grad]
    if not pairs:  # nothing that a gradient is asked for makes a difference
        return tuple(torch.zeros_like(x) for x in inputs)
    outputs, weights = zip(*pairs, strict=True)
    return torch.autograd.grad(
        outputs, inputs, weights, create_graph=create_graph, materialize_grads=True
    )
