"""Measuring forecasts: frames a second that each family of metrics takes in.

Sixteen windows of sixteen lead times, 64×64, one variable; of one member, and of ten. The
predictions are there already: what a network needs to make them is in other entries.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.timing import interleave, print_table
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.metrics import MetricChoice, Scores, Subject, Truth, prepare
from framecast.metrics.family import Family, Prediction

SHAPE = (16, 16, 1, 64, 64)
MEMBERS = 10


def run() -> dict[str, Any]:
    """A row for each family, after the gate."""
    check()
    truth, members = _frames()
    rows = [
        {"members": count, **row}
        for count in (1, MEMBERS)
        for row in _rows(_families(truth, count), members[:count], truth)
    ]
    print_table("Measuring 256 frames of 64x64", rows)
    return {"rows": rows}


def check() -> None:
    """The errors are those of a straightforward mean."""
    truth, members = _frames()
    scores = Scores.of(members[:1], truth)
    expected = (members[0] - truth.values).double().square().mean((0, 3, 4)).sqrt()
    torch.testing.assert_close(scores.metric("rmse")[:, 0], expected)


def _frames() -> tuple[Truth, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(SHAPE, generator=random)
    return Truth(values, torch.zeros(SHAPE)), torch.randn((MEMBERS, *SHAPE), generator=random)


def _families(truth: Truth, members: int) -> tuple[Family, ...]:
    frames = Frames(truth.values, (Channel("t"),), ("sequence", "time", "y", "x"))
    choice = MetricChoice(thresholds={"t": (0.5, 1.0, 2.0)}, neighbourhoods=(1, 5, 11))
    subject = Subject(frames, frames.channels, SHAPE[1], climatology=True, members=members)
    return prepare(choice, subject).families


def _rows(
    families: tuple[Family, ...], members: torch.Tensor, truth: Truth
) -> list[dict[str, object]]:
    calls: dict[str, Callable[[], object]] = {
        type(family).__name__: partial(_measure, family, members, truth, family.reference(truth))
        for family in families
    }
    frames = SHAPE[0] * SHAPE[1]
    return [
        {"family": name, "time": timing, "frames a second": f"{frames / timing.median:,.0f}"}
        for name, timing in interleave(calls, seconds=1, fewest=5).items()
    ]


def _measure(family: Family, members: torch.Tensor, truth: Truth, reference: Any) -> object:
    return family.sums(Prediction(members), truth, reference)
