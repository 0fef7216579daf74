"""Calls of all ops with random arguments, most of them bent: each is right, or refused in words.

FRAMECAST_RANDOM_CALLS says how many are made in all. `csrc/sanitize.sh` makes 2000 of them, with
every access to memory watched.
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from op_calls import PUBLIC, REGISTERED, WIDE, Call, Sizes, flat, tensors
from torch import Tensor

from framecast.ops import dispatch, library

CALLS = int(os.environ.get("FRAMECAST_RANDOM_CALLS", "600"))
EACH = -(-CALLS // (len(PUBLIC) + len(REGISTERED)))
KERNELS: list[dispatch.Name] = ["reference", "torch"]
if library.unavailable_reason() is None:
    KERNELS += ["native"] * 4
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 6e-2,
}
"""Of results beside the largest value, 1 at least: norms of a few cells may cancel."""
OF_GRADIENTS = 20
"""How much larger the error of gradients may be: they are divided by small deviations."""


@pytest.fixture(autouse=True)
def as_it_was(unchecked_types: None) -> Iterator[None]:
    """Threads and instruction sets are drawn too, and put back."""
    threads = torch.get_num_threads()
    chosen = library.instruction_set() if library.unavailable_reason() is None else None
    yield
    torch.set_num_threads(threads)
    if chosen:
        library.use_instruction_set(chosen)


def draw_sizes(draw: random.Random) -> Sizes:
    def size(*usual: int) -> int:
        return 0 if draw.random() < 0.03 else draw.choice(usual)

    return Sizes(
        batch=size(1, 2, 3),
        time=size(1, 2, 5),
        channels=size(1, 2, 3, 5, 16, 17),
        height=size(1, 3, 4, 33),
        width=size(1, 2, 5, 7),
        form=draw.randrange(60),
    )


def draw_means(draw: random.Random) -> dispatch.Name:
    """The kind of kernels, and threads and instruction set for those that have them."""
    kernels = draw.choice(KERNELS)
    torch.set_num_threads(draw.choice([1, 2, 3]))
    if kernels == "native":
        library.use_instruction_set(draw.choice(library.instruction_sets()))
    return kernels


# --- the same values, kept in other ways ---------------------------------------------------


def stored_last(x: Tensor) -> Tensor:
    return x.movedim(-3, -1).contiguous().movedim(-1, -3) if x.ndim > 3 else x


def stored_reversed(x: Tensor) -> Tensor:
    order = list(reversed(range(x.ndim)))
    return x.permute(order).contiguous().permute(order)


def stored_apart(x: Tensor) -> Tensor:
    wide = torch.full((*x.shape[:-1], 2 * x.shape[-1] + 1), torch.nan, dtype=x.dtype)
    wide[..., 1::2] = x
    return wide[..., 1::2]


def stored_within(x: Tensor) -> Tensor:
    whole = torch.full([n + 2 for n in x.shape], torch.nan, dtype=x.dtype)
    inside = whole[tuple(slice(1, n + 1) for n in x.shape)]
    inside.copy_(x)
    return inside


def negated(x: Tensor) -> Tensor:
    return torch._neg_view(-x)


def repeated(x: Tensor) -> Tensor:
    """Other values: those of the first of a dimension, without memory for the rest."""
    return x[:1].expand(x.shape)


KEPT: list[Callable[[Tensor], Tensor]] = [
    *[lambda x: x] * 3,
    *[stored_last] * 3,
    stored_reversed,
    stored_apart,
    stored_within,
    negated,
    repeated,
]


# --- arguments that do not fit -------------------------------------------------------------


def resized(x: Tensor, draw: random.Random) -> Tensor:
    if x.ndim == 0:
        return x
    dim = draw.randrange(x.ndim)
    size = draw.choice([0, 1, x.shape[dim] - 1, x.shape[dim] + 1, 2 * x.shape[dim]])
    shape = [max(size, 0) if i == dim else n for i, n in enumerate(x.shape)]
    return torch.ones(shape, dtype=x.dtype)


def reranked(x: Tensor, draw: random.Random) -> Tensor:
    return draw.choice([x[None], x[..., None], x.sum(), x.flatten()])


SIZES = [resized] * 3 + [reranked]
"""What may happen to fit all the same."""
KINDS: list[Callable[[Tensor], Any]] = [
    lambda x: x.to(torch.int64),
    lambda x: x.to(torch.bool),
    lambda x: x.to(torch.complex64),
    lambda x: x.to_sparse(),
]
"""What never fits."""


def bend(values: dict[str, Any], draw: random.Random) -> bool:
    """Change one of the values; return whether the call must be refused."""
    name = draw.choice(list(values))
    if draw.random() < 0.6:
        values[name] = draw.choice(SIZES)(values[name], draw)
        return False
    options = [*KINDS, lambda x: x.to("meta")][: None if len(values) > 1 else -1]
    values[name] = draw.choice(options)(values[name])
    return True


# --- what comes of it ----------------------------------------------------------------------


def compute(call: Call, values: dict[str, Tensor], differentiate: bool) -> list[Tensor]:
    """Results, and the gradients of all tensors."""
    leaves = [x.detach().requires_grad_(differentiate) for x in values.values()]
    outputs = flat(call.run(*leaves))
    kept = [x.detach() for x in outputs]
    if differentiate:
        total = sum((x * torch.linspace(0.5, 1, x.numel()).view(x.shape)).sum() for x in outputs)
        kept += torch.autograd.grad(total, leaves, materialize_grads=True)
    return kept


def attempt(
    call: Call, values: dict[str, Tensor], kernels: dispatch.Name, differentiate: bool = False
) -> list[Tensor] | None:
    """As `compute`; None where it is refused by an error that names the op."""
    try:
        with dispatch.kernels(kernels):
            return compute(call, values, differentiate)
    except (TypeError, ValueError) as error:
        if not str(error).startswith(f"{call.op}: "):
            raise
    except RuntimeError as error:
        # So are kernels that are forced: they do not step aside for others.
        if "the compiled kernels do not compute in torch.float16" not in str(error):
            raise
    return None


def compare(got: list[Tensor], want: list[Tensor], outputs: int, dtype: torch.dtype) -> None:
    assert [x.shape for x in got] == [x.shape for x in want]
    for i, (ours, exact) in enumerate(zip(got, want, strict=True)):
        if exact.numel():
            scale = exact.double().abs().max().clamp_min(1)
            worst = (ours.double() - exact.double()).abs().max() / scale
            assert worst <= TOLERANCE[dtype] * (OF_GRADIENTS if i >= outputs else 1), (i, worst)


def one_public_call(name: str, draw: random.Random) -> None:
    kernels, sizes, dtype = draw_means(draw), draw_sizes(draw), draw.choice(list(TOLERANCE))
    call = PUBLIC[name](sizes)
    values = tensors(call, dtype, draw.randrange(1000))
    values = {key: draw.choice(KEPT)(x) if x.numel() else x for key, x in values.items()}
    must_fail = bend(values, draw) if draw.random() < 0.5 else False
    differentiate = not must_fail and draw.random() < 0.5
    got = attempt(call, values, kernels, differentiate)
    if got is None:
        return
    assert not must_fail
    with dispatch.kernels("reference"):
        wide = {key: x.double().contiguous() for key, x in values.items()}
        want = compute(call, wide, differentiate)
    compare(got, want, len(got) - len(values) * differentiate, dtype)


def one_registered_call(name: str, draw: random.Random) -> None:
    kernels, sizes, dtype = draw_means(draw), draw_sizes(draw), draw.choice(list(TOLERANCE))
    call = REGISTERED[name](sizes)
    values = tensors(call, dtype, draw.randrange(1000))
    if dtype != torch.float64:
        values = {key: x.float() if key in WIDE else x for key, x in values.items()}
    values = {key: draw.choice(KEPT)(x) if x.numel() else x for key, x in values.items()}
    must_fail = bend(values, draw) if draw.random() < 0.7 else False
    got = attempt(call, values, kernels)
    if got is None:
        return
    assert not must_fail
    with dispatch.kernels("torch"):
        want = compute(call, {key: x.double() for key, x in values.items()}, False)
    compare(got, want, 1, dtype)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_are_right_or_refuse(name: str) -> None:
    repeat(one_public_call, name)


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_ops_are_right_or_refuse(name: str) -> None:
    repeat(one_registered_call, name)


def repeat(one_call: Callable[[str, random.Random], None], name: str) -> None:
    for number in range(EACH):
        seed = f"{name} {number}"
        try:
            one_call(name, random.Random(seed))
        except BaseException as error:
            error.add_note(f"in the call that is drawn from the seed {seed!r}")
            raise
