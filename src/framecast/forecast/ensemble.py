"""Ensembles: members of one model or of several, forecast side by side as far as memory allows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.limits import available_memory
from framecast.base.ranks import Ranks, ranks_here
from framecast.forecast.members import Draws, Variation
from framecast.forecast.outlook import Outlook
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Place

AT_ONCE, AT_ONCE_GPU = 8, 64
"""Forecasts (members of windows) that are made side by side at most, on a processor and on others.

Such a group is what several processes share out whole, so that each number comes of the same sums
however many they are.
"""
LIVE = 8
"""Features of a layer that are in memory at one time, about, for each channel and cell."""
SHARE = 4
"""Of the free memory, one part in so many is taken for the members that run side by side."""
PLENTY = 1 << 30
"""Bytes that are taken where the system does not say what is free."""


class ForecastModel(NamedTuple):
    """A model of the ensemble, what its forecasts read, and what it is called."""

    predictor: Predictor
    outlook: Outlook
    name: str = "the model"


def forecast_members(
    models: Sequence[ForecastModel],
    members: int | None,
    variation: Variation | None = None,
    at_once: int | None = None,
) -> Iterator[Float[Tensor, "M B C H W"]]:
    """Yield the frames of all members at lead 1, 2, ..., in physical units.

    Member m is of model m mod K of the K models. The states of all forecasts are held; what is
    computed between them is so of a few forecasts at a time. Memory does not grow with the number
    of steps. Processes that share the work each make some of the forecasts; the first of them
    yields all frames, and the others none.

    Args:
        models: K models with what they read, of the same B forecasts.
        members: M, a multiple of K; None for one of each model: of a distribution head its mean
            or median, which is no draw.
        variation: by what members differ beside their model.
        at_once: members that are forecast side by side; None for what memory suggests. It changes
            no number but by the order of sums.

    Raises:
        UserError: as `check_members`.
    """
    how, count = variation or Variation(), len(models) if members is None else members
    check_members([(model.predictor, model.name) for model in models], count, how)
    return _side_by_side(models, count, how, at_once, members is not None)


def _side_by_side(
    models: Sequence[ForecastModel],
    members: int,
    variation: Variation,
    at_once: int | None,
    drawn: bool,
) -> Iterator[Tensor]:
    """Go through the groups of forecasts lead by lead.

    Several processes take whole groups in turns, and the first of them puts frames together: the
    others yield nothing.
    """
    ranks = ranks_here()
    groups = [*_groups(models, members, at_once, ranks)]
    own = groups[ranks.rank :: ranks.count]
    streams = [_forecast(group, variation, drawn) for group in own]
    for made in zip(*streams, strict=True):
        every = _put_together(groups, made, ranks)
        if ranks.first:
            yield every


def _put_together(groups: Sequence["_Group"], made: Sequence[Tensor], ranks: Ranks) -> Tensor:
    """Bring the frames that each process made of a lead to the first of them.

    Args:
        groups: all of them.
        made: frames of those of this process.
        ranks: processes that share them in turns.
    """
    frame, mine = made[0].shape[1:], iter(made)
    windows = len(groups[0].model.outlook.places)
    members = 1 + max(member for group in groups for member in group.members)
    every = made[0].new_empty(members * ranks.first, windows, *frame)
    for place, group in enumerate(groups):
        owner = place % ranks.count
        if owner == ranks.rank:
            frames = next(mine).contiguous()
        else:
            frames = made[0].new_empty(group.size * ranks.first, *frame)
        ranks.deliver(frames, owner)
        if ranks.first:
            parts = frames.view(len(group.members), -1, *frame)
            every[list(group.members), group.windows] = parts
    return every


class _Group(NamedTuple):
    """Forecasts that are made side by side.

    Attributes:
        model: that makes them.
        members: their numbers.
        windows: of which all these members are made.
    """

    model: ForecastModel
    members: Sequence[int]
    windows: slice

    @property
    def size(self) -> int:
        """How many forecasts they are."""
        return len(self.members) * len(self.model.outlook.places[self.windows])


def _groups(
    models: Sequence[ForecastModel], members: int, at_once: int | None, ranks: Ranks
) -> Iterator[_Group]:
    """Part all forecasts into groups, which do not depend on how many processes there are."""
    for place, model in enumerate(models):
        predictor, outlook, _ = model
        own = range(place, members, len(models))
        most = AT_ONCE if predictor.device.type == "cpu" else AT_ONCE_GPU
        for first in range(0, len(outlook.places), most):
            windows = slice(first, min(first + most, len(outlook.places)))
            count = windows.stop - windows.start
            fit = members_at_once(predictor, count, outlook.context)
            fit = ranks.gather(fit)[0]  # each may find another amount of memory free
            size = at_once or max(1, min(fit, most // count))
            for start in range(0, len(own), size):
                yield _Group(model, own[start : start + size], windows)


def _forecast(group: _Group, variation: Variation, drawn: bool) -> Iterator[Tensor]:
    """Forecast all of a group, lead by lead."""
    (predictor, outlook, _), members, windows = group
    places = outlook.places[windows]
    return predictor.forecast(
        replace(outlook, places=[*places] * len(members)),
        draws_of(predictor, places, members, variation, drawn),
    )


def draws_of(
    predictor: Predictor,
    places: Sequence[Place],
    numbers: Sequence[int],
    variation: Variation,
    drawn: bool,
) -> Draws | None:
    """Return the random numbers of some members of each window.

    Args:
        predictor: the model.
        places: of the windows.
        numbers: of the members.
        variation: by what members differ.
        drawn: whether members are asked for: else a distribution head gives its mean or median.
    """
    if predictor.model.head is not None and not drawn and not variation.perturb:
        return None
    return Draws.of(places, numbers, variation)


def check_members(
    models: Sequence[tuple[Predictor, str]], members: int, variation: Variation
) -> None:
    """Raise a UserError where members would be alike, or models would not count alike.

    Args:
        models: with the names of their runs.
        members: that are asked for.
        variation: by what members differ beside their model.
    """
    count = len(models)
    if members < 1:
        raise UserError(f"--members {members} must be at least 1")
    if members % count:
        raise UserError(
            f"--members {members} of {count} runs: each run makes as many members as the others, "
            f"so give a multiple of {count}"
        )
    if variation.perturb:
        return
    if variation.seed and not any(predictor.reads_noise for predictor, _ in models):
        raise UserError(
            f"--seed {variation.seed} would change nothing: no run reads noise "
            "(model.noise_channels), and nothing is perturbed (--perturb)"
        )
    for predictor, name in models if members > count else ():
        if not predictor.reads_noise:
            raise UserError(
                f"{name} reads no noise, so that its members would all be alike: add runs of other "
                "seeds (--with RUN ...), or perturb what is given (--perturb 0.1), or train an "
                "ensemble (model.noise_channels, training.loss crps)"
            )


def members_at_once(predictor: Predictor, forecasts: int, context: int) -> int:
    """Return how many members to forecast side by side, by the memory that is free.

    Args:
        predictor: the model, on its device.
        forecasts: B, of each member.
        context: frames that are given, and read in one pass.
    """
    model, (height, width) = predictor.model, predictor.checkpoint.frames.grid
    cells = height * width
    features = max(model.config.blocks) * -(-cells // model.reduction**2)
    each = 4 * forecasts * context * (LIVE * features + 4 * model.ports.read * cells)
    if predictor.device.type == "cuda":
        free: int | None = torch.cuda.mem_get_info(predictor.device)[0]
    else:
        free = available_memory()
    return max(1, (PLENTY if free is None else free // SHARE) // each)
