"""Segments of time, run by several processes that tell one another, are one whole pass.

Here the processes are threads of one, which tell one another through a table; real ones are in
tests/train/test_shared_time.py.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pytest
import torch

from conftest import TOLERANCE, close
from framecast.base.ranks import Ranks
from framecast.base.segments import Segment, part_time
from framecast.layers import ResidualStack, layer_entry, layer_names, time_parallel
from framecast.layers.blocks import ChannelNorm
from framecast.layers.time_parallel import LinearScan, run_segment
from framecast.ops import conv_scan, linear_scan, min_gru_scan
from framecast.ops.conv_scan import conv_steps
from framecast.ops.scan import gated_decay

B, C_IN, C, H, W = 2, 3, 4, 5, 6
ENDS = [(0, 5, 11), (0, 1, 8, 11), (0, 4, 5, 6, 11)]
"""Where segments end: uneven ones, also of one frame."""
LAYERS = {
    **{name: (name, {}) for name in layer_names() if layer_entry(name).time_parallel},
    "conv_s5, bilinear": ("conv_s5", {"discretisation": "bilinear", "blocks": 2}),
    "conv_ssm, periodic": ("conv_ssm", {"padding": "circular"}),
    "conv_ssm, in Fourier space": ("conv_ssm", {"padding": "circular", "state_kernel": 5}),
    "conv_ssm, dense": ("conv_ssm", {"padding": "circular", "mixing": "dense"}),
}


class Table:
    """What threads tell one another."""

    def __init__(self, count):
        self.said, self.barrier = [None] * count, threading.Barrier(count, timeout=60)

    def exchange(self, rank, value):
        self.said[rank] = value
        self.barrier.wait()
        heard = list(self.said)
        self.barrier.wait()
        return heard


@dataclass(frozen=True)
class Thread(Ranks):
    """A thread in the place of a process."""

    table: Table | None = None

    def exchange(self, tensor):
        return self.table.exchange(self.rank, tensor)


def at_once(ends, work):
    """What each thread returns of its work on a segment."""
    count, table = len(ends) - 1, Table(len(ends) - 1)
    with ThreadPoolExecutor(count) as pool:
        segments = [
            Segment(first, stop, ends[-1], Thread(rank, count, None, table))
            for rank, (first, stop) in enumerate(pairwise(ends))
        ]
        return list(pool.map(work, segments))


@pytest.fixture
def held(monkeypatch):
    """Where each thread says which segment it holds."""
    here = threading.local()
    monkeypatch.setattr(time_parallel, "segment_here", lambda: getattr(here, "segment", None))
    return here


def make(name, dtype=torch.float64):
    torch.manual_seed(3)
    name, options = LAYERS[name]
    return layer_entry(name).layer(C_IN, C, **options).to(dtype)


def gradients(outputs, weights, layer, frames):
    loss = (outputs * weights).sum()
    return torch.autograd.grad(loss, [frames, *layer.parameters()], allow_unused=True)


def compared(layer, frames, ends, held, **further):
    """Outputs, and gradients of frames and weights: of a whole pass, and of segments."""
    weights = torch.randn_like(layer(frames, **further)[0]).detach()
    whole, last = layer(frames, **further)
    expected = gradients(whole, weights, layer, frames)

    def work(segment):
        held.segment = segment
        part = slice(segment.first, segment.stop)
        own = frames.detach()[:, part].requires_grad_()
        outputs, after = layer(own, **{k: v[:, part] for k, v in further.items()})
        return outputs.detach(), gradients(outputs, weights[:, part], layer, own), after

    parts = at_once(ends, work)
    own, of_weights = zip(*((g[0], g[1:]) for _, g, _ in parts), strict=True)
    found = [torch.cat(own, 1), *(sum(each) for each in zip(*of_weights, strict=True))]
    return (
        [whole, *expected],
        [torch.cat([outputs for outputs, *_ in parts], 1), *found],
        (last, parts[-1][2]),
    )


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_gradients_and_last_state_are_those_of_a_whole_pass(name, ends, held):
    layer = make(name)
    frames = torch.randn(B, ends[-1], C_IN, H, W, dtype=torch.float64, requires_grad=True)
    expected, found, (last, after) = compared(layer, frames, ends, held)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-10)
    close(after, last, 1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_they_are_so_in_float32(name, held):
    layer = make(name, torch.float32)
    frames = torch.randn(B, 11, C_IN, H, W, requires_grad=True)
    expected, found, _ = compared(layer, frames, ENDS[1], held)
    for a, b in zip(found, expected, strict=True):
        close(a, b, TOLERANCE[torch.float32])


def test_they_are_so_where_steps_of_time_differ(held):
    layer = make("conv_s5")
    frames = torch.randn(B, 11, C_IN, H, W, dtype=torch.float64, requires_grad=True)
    intervals = torch.rand(B, 11, dtype=torch.float64) * 40
    expected, found, _ = compared(layer, frames, ENDS[1], held, intervals=intervals)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-10)


def test_they_are_so_of_a_stack(held):
    torch.manual_seed(0)
    names = [name for name in layer_names() if layer_entry(name).time_parallel]
    layers = [layer_entry(name).layer(C_IN, C_IN) for name in names]
    stack = ResidualStack(layers, [ChannelNorm(C_IN) for _ in layers]).double()
    assert stack.time_parallel
    frames = torch.randn(B, 11, C_IN, H, W, dtype=torch.float64, requires_grad=True)
    expected, found, _ = compared(stack, frames, ENDS[1], held)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-10)


def test_a_stack_with_a_layer_that_runs_step_by_step_says_so():
    layers = [layer_entry(name).layer(C_IN, C_IN) for name in ("min_conv_gru", "conv_lstm")]
    assert not ResidualStack(layers, [ChannelNorm(C_IN) for _ in layers]).time_parallel


class InSegments(torch.autograd.Function):
    """A linear scan in segments as one function, whose gradient is put together of theirs."""

    @staticmethod
    def forward(ctx, a, b, h0):
        ctx.save_for_backward(a, b, h0)
        return torch.cat([states for states, _ in InSegments.run(a, b, h0, None)], 1)

    @staticmethod
    def backward(ctx, grad):
        parts = InSegments.run(*ctx.saved_tensors, grad)
        of_a, of_b, of_h0 = zip(*(gradient for _, gradient in parts), strict=True)
        return torch.cat(of_a, 1), torch.cat(of_b, 1), of_h0[0]

    @staticmethod
    def run(a, b, h0, grad):
        def work(segment):
            part = slice(segment.first, segment.stop)
            leaves = [x.detach().requires_grad_() for x in (a[:, part], b[:, part], h0)]
            linear = LinearScan(
                linear_scan, tuple(leaves[:2]), lambda: leaves[0].prod(1), torch.mul
            )
            with torch.enable_grad():
                states = run_segment(linear, leaves[2], segment.ranks)
                if grad is None:
                    return states.detach(), None
                found = torch.autograd.grad(states, leaves, grad[:, part], allow_unused=True)
                return states.detach(), found

        return at_once((0, 2, 3, 5), work)


def test_the_gradient_is_that_of_finite_differences():
    a, b = (torch.randn(1, 5, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    h0 = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(InSegments.apply, (a, b, h0))


def test_nothing_but_what_decays_is_lost_where_decays_are_too_small_for_their_type(held):
    gates = torch.full((1, 300, 2, 1, 1), 30.0)  # σ(−30) to the power of 100 is no float32
    gates[:, :, 1] = torch.randn(300, 1, 1)
    assert gated_decay("min_gru_scan", gates[:, :100]).item() == 0

    def run(gates, ranks):
        decay = partial(gated_decay, "min_gru_scan", gates)
        linear = LinearScan(min_gru_scan, (gates,), decay, torch.mul)
        return run_segment(linear, torch.full((1, 1, 1, 1), 0.5), ranks)

    whole = gates.clone().requires_grad_()
    expected = min_gru_scan(whole, torch.full((1, 1, 1, 1), 0.5))
    (gradient,) = torch.autograd.grad(expected.square().sum(), whole)

    def work(segment):
        own = gates[:, segment.first : segment.stop].requires_grad_()
        states = run(own, segment.ranks)
        return states.detach(), torch.autograd.grad(states.square().sum(), own)[0]

    parts = at_once((0, 100, 200, 300), work)
    for place, whole in enumerate((expected, gradient)):
        close(torch.cat([part[place] for part in parts], 1), whole, 1e-5)


@pytest.mark.parametrize("scan", ["min_gru_scan", "min_lstm_scan", "min_exp_lstm_scan"])
def test_a_decay_is_by_what_two_first_states_differ_in_the_last(scan):
    from framecast import ops

    gates = torch.randn(B, 6, C * (2 if "gru" in scan else 3), H, W, dtype=torch.float64)
    first, other = torch.randn(2, B, C, H, W, dtype=torch.float64)
    run = getattr(ops, scan)
    difference = run(gates, first)[:, -1] - run(gates, other)[:, -1]
    close(gated_decay(scan, gates) * (first - other), difference, 1e-12)


@pytest.mark.parametrize("mixed", [1, 3])
def test_steps_without_input_are_a_power_of_the_kernel(mixed):
    kernel = 0.2 * torch.randn(3, mixed, 3, 3, dtype=torch.float64)
    state = torch.randn(B, 3, H, W, dtype=torch.float64)
    still = torch.zeros(B, 9, 3, H, W, dtype=torch.float64)
    close(conv_steps(kernel, 9, state), conv_scan(kernel, still, state)[:, -1], 1e-12)


@pytest.mark.parametrize(
    ("context", "further", "count", "ends"),
    [
        (12, 0, 3, [0, 4, 8, 12]),
        (11, 0, 4, [0, 2, 5, 8, 11]),
        (10, 2, 3, [0, 4, 8, 12]),
        (10, 9, 2, [0, 9, 19]),
        (3, 20, 3, [0, 1, 2, 23]),
    ],
)
def test_time_is_shared_evenly_and_what_follows_the_context_is_of_the_last(
    context, further, count, ends
):
    segments = [part_time(context, further, Ranks(rank, count)) for rank in range(count)]
    assert [(s.first, s.stop) for s in segments] == list(pairwise(ends))
    assert [s.context(context) for s in segments[:-1]] == [b - a for a, b in pairwise(ends[:-1])]
    assert segments[-1].context(context) == context - ends[-2] >= 1
    assert part_time(context, further, Ranks()) is None
