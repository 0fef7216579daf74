"""Where definitions are asked for, nothing else runs: every public op, forward and backward."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
import torch
from op_calls import QUANTISERS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import close
from framecast import ops
from framecast.ops import dispatch, library
from framecast.ops.discretise import bilinear, hippo_normal, zero_order_hold

FOLDER = Path(ops.__file__).parent
# What checks arguments and chooses, beside the definitions themselves.
ALLOWED = {"__init__.py", "definition.py", "dispatch.py", "checks.py", "widening.py"}
native = pytest.param(
    "native",
    marks=pytest.mark.skipif(
        library.unavailable_reason() is not None, reason="the compiled kernels are missing"
    ),
)


class Case(NamedTuple):
    """Tensors [sizes] in the order of an op's arguments, and how it is called with them."""

    sizes: Sequence[tuple[int, ...]]
    call: Callable[..., Any]


def gated(name: str, parts: int) -> Case:
    return Case([(2, 7, parts * 5, 3, 4), (2, 5, 3, 4)], getattr(ops, name))


def trained(name: str) -> Case:
    """Three states and the factors between their channels."""
    channels = 5, 3, 4, 2
    states = [(2, c, 6, 7) for c in channels[1:]]
    factors = [(*pair, 3, 3) for pair in pairwise(channels)]
    return Case([*states, *factors], lambda *x: getattr(ops, name)(x[:3], x[3:]))


def convolved(name: str, states_read: int) -> Case:
    sizes = [(3, states_read, 3, 3), (3,), (2, 9, 3, 5, 6), (2, 3, 5, 6)]
    scan = getattr(ops, name)
    # The kernel is bounded, so that states stay as large as their inputs.
    return Case(sizes, lambda w, rho, b, x0: scan(ops.bounded_kernel(w, rho.sigmoid()), b, x0))


def normed(weight: tuple[int, ...], with_update: bool = True, **options: Any) -> Case:
    frames = [(2, 6, 4, 5)] * (2 if with_update else 1)

    def call(*tensors: Tensor) -> Tensor:
        x, *update, scale, shift = tensors
        return ops.residual_norm(x, update[0] if update else None, scale, shift, **options)

    return Case([*frames, weight, weight], call)


CASES = {
    "bounded_kernel": [
        Case([(4, n, 3, 3), (4,)], lambda w, rho: ops.bounded_kernel(w, rho.sigmoid()))
        for n in (1, 4)
    ],
    "complex_diagonal_scan": [
        Case(
            [lam, lam, (2, 7, 6, 3, 4), (2, 6, 3, 4)],
            lambda re, im, *x: ops.complex_diagonal_scan(re.tanh() / 2, im.tanh() / 2, *x),
        )
        for lam in ((3,), (7, 3), (2, 7, 3))
    ],
    "conv_scan": [convolved("conv_scan", n) for n in (1, 3)],
    "conv_tensor_train": [trained("conv_tensor_train")],
    "conv_tensor_train_reconstructed": [trained("conv_tensor_train_reconstructed")],
    "linear_scan": [
        Case(
            [(2, 7, 5, 3, 4), (2, 7, 5, 3, 4), (2, 5, 3, 4)],
            lambda a, *rest: ops.linear_scan(a.tanh(), *rest),
        )
    ],
    "lstm_cell": [Case([(2, 20, 3, 4), (2, 5, 3, 4)], ops.lstm_cell)],
    "min_exp_lstm_scan": [gated("min_exp_lstm_scan", 3)],
    "min_gru_scan": [gated("min_gru_scan", 2)],
    "min_lstm_scan": [gated("min_lstm_scan", 3)],
    "reconstruct_kernels": [
        Case([(5, 3, 3, 3), (3, 4, 3, 3), (4, 2, 3, 3)], lambda *x: ops.reconstruct_kernels(x))
    ],
    "residual_norm": [
        normed((4, 5)),
        normed((6,), groups=3, activation="gelu"),
        normed((6,), with_update=False, activation="elu"),
    ],
    "spectral_conv_scan": [convolved("spectral_conv_scan", n) for n in (1, 3)],
    # The second is cheaper without the whole kernel.
    "tensor_train_conv": [
        Case([(2, 3, 8, 9), (2, 3, 3), (2, 4, 3)], ops.tensor_train_conv),
        Case([(1, 16, 5, 6), (1, 5, 5), (1, 64, 16)], ops.tensor_train_conv),
    ],
    "train_matrices": [
        Case([(2, 3, 4, 2), (3, 4, 2, 5), (4, 1, 3, 2)], lambda *x: ops.train_matrices(x)),
        Case([(3, 1, 8, 5)], lambda *x: ops.train_matrices(x)),
    ],
    "wrap": [Case([(2, 5, 4, 6)], lambda x: ops.wrap(x, 2, 3))],
}
every_op = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{name}-{i}") for name in CASES for i, case in enumerate(CASES[name])],
)


class Watch(TorchDispatchMode):
    """Notes which files of the ops' folder run, and which ops of this project are called."""

    def __init__(self) -> None:
        super().__init__()
        self.files: set[str] = set()
        self.called: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "framecast":
            self.called.add(func.name())
        return func(*args, **kwargs or {})

    def note(self, frame: FrameType, event: str, arg: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(FOLDER):
            self.files.add(path.name)

    def __enter__(self) -> "Watch":
        super().__enter__()
        sys.setprofile(self.note)
        return self

    def __exit__(self, *error: Any) -> None:
        sys.setprofile(None)
        super().__exit__(*error)


def differentiate(case: Case, channels_last: bool = False) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs in float64, and the gradients of all tensors."""
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(size, generator=random, dtype=torch.float64) for size in case.sizes]
    if channels_last:
        inputs = [stored_last(x) for x in inputs]
    leaves = [x.requires_grad_() for x in inputs]
    outputs = case.call(*leaves)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    weights = [torch.randn(x.shape, generator=random, dtype=x.dtype) for x in outputs]
    gradients = torch.autograd.grad(outputs, leaves, weights)
    return [x.detach() for x in outputs], list(gradients)


def stored_last(x: Tensor) -> Tensor:
    """The same values with the channels of a pixel side by side, where x has pixels."""
    return x.movedim(-3, -1).contiguous().movedim(-1, -3) if x.ndim > 3 else x


def test_every_public_op_has_a_case() -> None:
    assert set(CASES) == set(ops.__all__) - QUANTISERS


@every_op
def test_only_definitions_run(case: Case) -> None:
    with dispatch.kernels("reference"), Watch() as watch:
        differentiate(case)
    assert "definition.py" in watch.files
    assert watch.files <= ALLOWED
    assert not watch.called


@every_op
def test_other_kernels_would_have_been_seen(case: Case) -> None:
    with dispatch.kernels("torch"), Watch() as watch:
        differentiate(case)
    assert watch.files & {"eager.py", "spectral.py"}


@every_op
@pytest.mark.parametrize("kernels", ["torch", native])
@pytest.mark.parametrize("channels_last", [False, True])
def test_definitions_and_kernels_agree(
    case: Case, kernels: dispatch.Name, channels_last: bool
) -> None:
    with dispatch.kernels("reference"):
        outputs, gradients = differentiate(case)
    with dispatch.kernels(kernels):
        fast_outputs, fast_gradients = differentiate(case, channels_last)
    for fast, exact in zip(fast_outputs, outputs, strict=True):
        close(fast, exact, 1e-12)
    for fast, exact in zip(fast_gradients, gradients, strict=True):
        close(fast, exact, 1e-10)


def test_systems_are_sampled_by_definitions_alone() -> None:
    """These have no other form, whatever is asked for."""
    lam = hippo_normal(8).eigenvalues
    with dispatch.kernels("reference"), Watch() as watch:
        for sample in (zero_order_hold, bilinear):
            sample(lam.real, lam.imag, torch.full((4,), 0.1, dtype=torch.float64))
        hippo_normal(8)
    assert watch.files == {"definition.py", "checks.py", "widening.py"}


def test_the_choice_ends_with_its_block() -> None:
    before = dispatch.choose("cpu")
    with dispatch.kernels("reference"):
        assert dispatch.choose("cpu").name == "reference"
        with dispatch.kernels("torch"):
            assert not dispatch.uses_definitions()
        assert dispatch.uses_definitions()
        with pytest.raises(KeyError), dispatch.kernels("torch"):
            raise KeyError
        assert dispatch.uses_definitions()
    assert dispatch.choose("cpu") == before


@pytest.mark.usefixtures("unchecked_types")
def test_a_choice_that_is_unknown_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="fast: unknown kernels"), dispatch.kernels("fast"):
        pass


def test_importing_the_ops_loads_little() -> None:
    """Neither files, plots and training, nor Triton, which takes long and may never be needed."""
    program = (
        "import sys, types\n"
        "door = types.ModuleType('framecast')\n"  # the package's own door is not opened
        f"door.__path__ = [{str(FOLDER.parent)!r}]\n"
        "sys.modules['framecast'] = door\n"
        "import torch, jaxtyping\n"
        "before = set(sys.modules)\n"
        "import framecast.ops\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'torch'}))\n"
        "print('triton' in sys.modules)\n"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output == "framecast\nFalse\n"
