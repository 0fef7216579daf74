"""Windows that are shown: which of many, and what was forecast for them.

Which window is best or worst is known only when all are scored. The chosen ones are then forecast
once more, rather than that frames of every window were kept until it is known: it costs a few
windows of many, and gives the numbers that were scored, up to rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from framecast.evaluate.scoring import ScoredWindows
from framecast.forecast.competitor import Competitor
from framecast.frames.batch import Place
from framecast.frames.frames import Frames

MOST_BYTES = 1 << 28
"""Memory for all that is kept of the windows that are shown, but for the first of them."""
MOST_WINDOWS = 12
"""Windows that are shown at most."""
PARTS = ("mean", "spread", "least", "greatest")
"""What is kept of an ensemble: of each cell, over its members."""


class Choice(NamedTuple):
    """A window that is shown.

    Attributes:
        names: what it is the one of: first, best, median, worst; none for one in between.
        rank: 1 for the one with the least error.
        place: among all windows.
    """

    names: tuple[str, ...]
    rank: int
    place: int


class Example(NamedTuple):
    """A window that is shown, with what was forecast for it.

    Attributes:
        choice: which it is.
        window: its frames, context and truth: one sequence, the predicted channels.
        forecasts: of each competitor, what is kept of it (see `parts_of`).
    """

    choice: Choice
    window: Frames
    forecasts: tuple[Float[Tensor, "P K C H W"], ...]


def parts_of(members: Float[Tensor, "M *any"]) -> Float[Tensor, "P *any"]:
    """Return what is kept of a forecast: itself for one member, else PARTS of them."""
    if len(members) == 1:
        return members
    return torch.stack([members.mean(0), members.std(0), *members.aminmax(dim=0)])


def choose(errors: Float64[Tensor, "B C"], most: int) -> list[Choice]:
    """Choose windows by their error: the first, the best, the median, the worst, and some between.

    Channels count alike: the error of each is divided by its mean over the windows.

    Args:
        errors: RMSE of each window and channel; NaN where nothing of a channel is known.
        most: windows to choose, at least 1.

    Returns:
        In the order in which they are dropped last.
    """
    relative = (errors / errors.nanmean(0)).nanmean(1).nan_to_num(torch.inf)
    order = relative.argsort(stable=True).tolist()
    count = len(order)
    rank = {place: n for n, place in enumerate(order)}
    named = {"first": 0, "best": order[0], "median": order[(count - 1) // 2], "worst": order[-1]}
    if count == 1:
        named = {"first": 0}
    between = (order[round(n * (count - 1) / (most - 1))] for n in range(most)) if most > 1 else ()
    places = list(dict.fromkeys([*named.values(), *between]))[:most]
    return [
        Choice(tuple(name for name, at in named.items() if at == place), rank[place] + 1, place)
        for place in places
    ]


def affordable(windows: ScoredWindows, competitors: int) -> int:
    """Return how many windows fit into MOST_BYTES, 1 to MOST_WINDOWS.

    Args:
        windows: of which some are shown.
        competitors: how many forecast each; they may all be ensembles.
    """
    height, width = windows.frames.grid
    frames = (len(PARTS) * competitors + 1) * windows.leads + windows.context
    one = 4 * frames * windows.channels * height * width
    return max(1, min(MOST_WINDOWS, MOST_BYTES // one))


@torch.inference_mode()
def forecast_again(
    competitors: Sequence[Competitor],
    windows: ScoredWindows,
    places: Sequence[Place],
    length: int,
) -> list[tuple[Tensor, ...]]:
    """Forecast windows, a batch at a time; return what is kept of each competitor, for each.

    Args:
        competitors: that forecast.
        windows: of which they are some.
        places: where they begin.
        length: frames that are forecast at once.
    """
    batches = [places[n : n + windows.size] for n in range(0, len(places), windows.size)]
    return [
        kept
        for batch in batches
        for kept in zip(*(_kept(one, windows, batch, length) for one in competitors), strict=True)
    ]


def _kept(
    competitor: Competitor, windows: ScoredWindows, batch: Sequence[Place], length: int
) -> list[Tensor]:
    """What is kept of each window of a batch, [P,K,C,H,W] each."""
    state, parts = None, []
    for steps in windows.stretches(length):
        predictions, state = competitor.predict(windows.read(batch, steps), state)
        if steps.start >= windows.context - 1:
            parts.append([parts_of(predictions[:, n]) for n in range(len(batch))])
    return [torch.cat(each, dim=1) for each in zip(*parts, strict=True)]
