"""Calls of every op, public and registered: arguments that fit, of any size, to be bent."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from framecast import ops
from framecast.ops.discretise import bilinear, zero_order_hold

QUANTISERS = {"finite_scalar", "finite_scalar_vectors", "nearest_codes", "straight_through"}
"""Ops that round, to whole numbers or by a gradient that is not theirs: neither layouts of frames
nor differences have anything to say of them, and test_quantise.py has all their tests."""


class Sizes(NamedTuple):
    """Of sequences [B,T,C,H,W], and which of an op's forms is meant."""

    batch: int = 2
    time: int = 3
    channels: int = 3
    height: int = 4
    width: int = 5
    form: int = 0


class Argument(NamedTuple):
    """A tensor: its shape, and the largest value in it."""

    shape: tuple[int, ...]
    largest: float = 1.0


class Call(NamedTuple):
    """Tensors by name, and what is to be called with their values in this order."""

    op: str
    arguments: dict[str, Argument]
    run: Callable[..., Any]


def gated(name: str, parts: int) -> Callable[[Sizes], Call]:
    def call(n: Sizes) -> Call:
        gates = n.batch, n.time, parts * n.channels, n.height, n.width
        state = n.batch, n.channels, n.height, n.width
        arguments = {"gates": Argument(gates, 3), "h0": Argument(state)}
        return Call(name, arguments, getattr(ops, name))

    return call


def linear_scan(n: Sizes) -> Call:
    sequence, state = n[:5], (n.batch, *n[2:5])
    arguments = {"a": Argument(sequence), "b": Argument(sequence), "h0": Argument(state)}
    return Call("linear_scan", arguments, ops.linear_scan)


def decays(n: Sizes) -> dict[str, Argument]:
    shape = [(n.channels,), (n.time, n.channels), (n.batch, n.time, n.channels)][n.form % 3]
    return {"lam_re": Argument(shape, 0.7), "lam_im": Argument(shape, 0.7)}


def complex_diagonal_scan(n: Sizes) -> Call:
    frame = 2 * n.channels, n.height, n.width
    rest = {"b": Argument((n.batch, n.time, *frame)), "x0": Argument((n.batch, *frame))}
    return Call("complex_diagonal_scan", {**decays(n), **rest}, ops.complex_diagonal_scan)


def lstm_cell(n: Sizes) -> Call:
    gates = n.batch, 4 * n.channels, n.height, n.width
    arguments = {"gates": Argument(gates, 3), "c": Argument((n.batch, *n[2:5]))}
    return Call("lstm_cell", arguments, ops.lstm_cell)


def residual_norm(n: Sizes) -> Call:
    frames, by_channel = Argument((n.batch, *n[2:5])), n.form % 2 == 0
    options: Any = {"activation": ["none", "gelu", "elu"][n.form % 3]}
    if by_channel:
        options["groups"] = n.channels if n.form % 4 and n.channels else 1
    affine = Argument((n.channels,) if by_channel else (n.height, n.width))
    arguments = {"x": frames, "update": frames, "weight": affine, "bias": affine}
    if n.form % 5 == 4:
        del arguments["update"]
        return Call(
            "residual_norm",
            arguments,
            lambda x, *rest: ops.residual_norm(x, None, *rest, **options),
        )
    return Call("residual_norm", arguments, lambda *x: ops.residual_norm(*x, **options))


def wrap(n: Sizes) -> Call:
    reach = min(n.form % 3, n.height), min(n.form % 4, n.width)
    return Call("wrap", {"x": Argument((n.batch, *n[2:5]))}, lambda x: ops.wrap(x, *reach))


def convolved(name: str) -> Callable[[Sizes], Call]:
    def call(n: Sizes) -> Call:
        states = min(n.channels, 3)
        side = 3 if n.form % 3 else 1
        kernel = states, states if n.form % 2 else 1, side, side
        arguments = {
            "kernel": Argument(kernel, 1 / (side**2 * max(kernel[1], 1))),
            "b": Argument((n.batch, n.time, states, n.height, n.width)),
            "x0": Argument((n.batch, states, n.height, n.width)),
        }
        return Call(name, arguments, getattr(ops, name))

    return call


def bounded_kernel(n: Sizes) -> Call:
    kernel = n.channels, n.channels if n.form % 2 else 1, 3, 3
    arguments = {"weight": Argument(kernel), "bound": Argument((n.channels,))}
    return Call("bounded_kernel", arguments, ops.bounded_kernel)


def chain(n: Sizes) -> list[tuple[int, int]]:
    return list(pairwise([2, n.channels, 3, 1][: 2 + n.form % 3]))


def trained(name: str) -> Callable[[Sizes], Call]:
    def call(n: Sizes) -> Call:
        pairs = chain(n)
        states = {
            f"state {i}": Argument((n.batch, above, n.height, n.width))
            for i, (_, above) in enumerate(pairs, start=1)
        }
        factors = {f"factor {i}": Argument((*pair, 3, 3), 0.2) for i, pair in enumerate(pairs, 1)}
        count = len(pairs)
        return Call(name, states | factors, lambda *x: getattr(ops, name)(x[:count], x[count:]))

    return call


def reconstruct_kernels(n: Sizes) -> Call:
    factors = {f"factor {i}": Argument((*pair, 3, 3), 0.2) for i, pair in enumerate(chain(n), 1)}
    return Call("reconstruct_kernels", factors, lambda *x: ops.reconstruct_kernels(x))


def train_matrices(n: Sizes) -> Call:
    ranks = list(pairwise([*[2, n.channels, 3][: 1 + n.form % 3], 1]))
    cores = {f"core {i}": Argument((*pair, 2, 1 + i % 2)) for i, pair in enumerate(ranks, 1)}
    return Call("train_matrices", cores, lambda *x: ops.train_matrices(x))


def tensor_train_conv(n: Sizes) -> Call:
    side, channels = (3 if n.form % 2 else 1), (16 if n.form % 3 else 2)
    arguments = {
        "frames": Argument((n.batch, channels, n.height + side - 1, n.width + side - 1)),
        "filters": Argument((n.channels, side, side), 0.3),
        "matrices": Argument((n.channels, 2, channels), 0.3),
    }
    return Call("tensor_train_conv", arguments, ops.tensor_train_conv)


def sampled(rule: Callable[..., Any]) -> Callable[[Sizes], Call]:
    def call(n: Sizes) -> Call:
        step = Argument([(n.channels,), (n.time, n.channels), n[:3]][n.form % 3])
        lam = Argument((n.channels,))
        return Call(rule.__name__, {"lam_re": lam, "lam_im": lam, "step": step}, rule)

    return call


PUBLIC: dict[str, Callable[[Sizes], Call]] = {
    "bilinear": sampled(bilinear),
    "bounded_kernel": bounded_kernel,
    "complex_diagonal_scan": complex_diagonal_scan,
    "conv_scan": convolved("conv_scan"),
    "conv_tensor_train": trained("conv_tensor_train"),
    "conv_tensor_train_reconstructed": trained("conv_tensor_train_reconstructed"),
    "linear_scan": linear_scan,
    "lstm_cell": lstm_cell,
    "min_exp_lstm_scan": gated("min_exp_lstm_scan", 3),
    "min_gru_scan": gated("min_gru_scan", 2),
    "min_lstm_scan": gated("min_lstm_scan", 3),
    "reconstruct_kernels": reconstruct_kernels,
    "residual_norm": residual_norm,
    "spectral_conv_scan": convolved("spectral_conv_scan"),
    "tensor_train_conv": tensor_train_conv,
    "train_matrices": train_matrices,
    "wrap": wrap,
    "zero_order_hold": sampled(zero_order_hold),
}
"""Calls of the public functions, by name."""


# --- the registered ops --------------------------------------------------------------------


def registered(name: str) -> Callable[[Sizes], Call]:
    """The op behind a public function of the same name and the same tensors."""

    def call(n: Sizes) -> Call:
        public = PUBLIC[name](n._replace(form=0) if name == "complex_diagonal_scan" else n)
        return public._replace(run=getattr(torch.ops.framecast, name))

    return call


def backward(name: str) -> Callable[[Sizes], Call]:
    """The op that computes the gradients of a scan: those of the states, inputs and states."""

    def call(n: Sizes) -> Call:
        arguments = dict(registered(name)(n).arguments)
        state = "x0" if "x0" in arguments else "h0"
        shape = arguments[state].shape
        states = Argument((shape[0], n.time, *shape[1:]))
        arguments.pop("b", None)
        whole = {"grad": states, **arguments, state[0]: states}
        run = getattr(torch.ops.framecast, f"{name}_backward")
        return Call(f"{name}_backward", whole, run)

    return call


def lstm_cell_backward(n: Sizes) -> Call:
    inputs = lstm_cell(n).arguments
    grads = {"grad_h": inputs["c"], "grad_next_c": inputs["c"]}
    return Call("lstm_cell_backward", grads | inputs, torch.ops.framecast.lstm_cell_backward)


def norm_options(n: Sizes) -> tuple[int, str]:
    return 1, ["none", "gelu", "elu"][n.form % 3]


def residual_norm_op(n: Sizes) -> Call:
    inputs = residual_norm(n._replace(form=n.form % 2)).arguments
    return Call(
        "residual_norm",
        inputs,
        lambda *x: torch.ops.framecast.residual_norm(*x, 1e-5, *norm_options(n)),
    )


def residual_norm_backward(n: Sizes) -> Call:
    inputs = residual_norm_op(n).arguments
    by_channel = len(inputs["weight"].shape) == 1
    moment = Argument((n.batch, 1 if by_channel else n.channels))
    whole = {"grad": inputs["x"], **inputs, "mean": moment, "scale": moment}
    return Call(
        "residual_norm_backward",
        whole,
        lambda *x: torch.ops.framecast.residual_norm_backward(*x, *norm_options(n)),
    )


def wrap_op(n: Sizes) -> Call:
    reach = min(n.form % 3, n.height), min(n.form % 4, n.width)
    run = torch.ops.framecast.wrap
    return Call("wrap", wrap(n).arguments, lambda x: run(x, *reach))


def wrap_backward(n: Sizes) -> Call:
    reach = min(n.form % 3, n.height), min(n.form % 4, n.width)
    shape = n.batch, n.channels, n.height + 2 * reach[0], n.width + 2 * reach[1]
    run = torch.ops.framecast.wrap_backward
    return Call("wrap_backward", {"grad": Argument(shape)}, lambda x: run(x, *reach))


GATED_SCANS = "min_exp_lstm_scan", "min_gru_scan", "min_lstm_scan"
SCANS = "linear_scan", "complex_diagonal_scan", *GATED_SCANS
REGISTERED: dict[str, Callable[[Sizes], Call]] = {
    **{name: registered(name) for name in (*SCANS, "lstm_cell")},
    **{f"{name}_backward": backward(name) for name in SCANS},
    "lstm_cell_backward": lstm_cell_backward,
    "residual_norm": residual_norm_op,
    "residual_norm_backward": residual_norm_backward,
    "wrap": wrap_op,
    "wrap_backward": wrap_backward,
}
"""Calls of `torch.ops.framecast`, by name."""
WIDE = {"lam_re", "lam_im", "weight", "bias", "mean", "scale"}
"""Arguments of registered ops that are float32 or float64 whatever the type of the rest."""


def tensors(call: Call, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
    """Values for the arguments, all of one type."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: ((torch.rand(x.shape, generator=random) * 2 - 1) * x.largest).to(dtype)
        for name, x in call.arguments.items()
    }


def flat(results: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else list(results)
