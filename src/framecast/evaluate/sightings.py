"""Sequences that are shown with what models make of them: what follows, and which class it is.

Models see the same ones. They are chosen by the probability that the first model gives to the true
class from the largest share of the training: the best, the median and the worst.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.evaluate.recognition import Recognition, View
from framecast.evaluate.runs import Run
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Place
from framecast.frames.channels import Channel
from framecast.metrics.classes import Named

Watcher = tuple[Run, Recognition]
"""A run, and what it names."""


class Glance(NamedTuple):
    """What a model makes of a sequence at some shares.

    Attributes:
        predicted: the frame at a lead time after the last one that was seen, [S,C,H,W].
        probabilities: of the classes, [S,K].
    """

    predicted: Float[Tensor, "S C H W"]
    probabilities: Float[Tensor, "S K"]


class Sighting(NamedTuple):
    """A sequence that is shown.

    Attributes:
        names: which of all it is: best, median, worst.
        title: what it is called.
        label: the number of its class.
        classes: the names of all classes.
        channels: C, in physical units.
        shares: that were seen, S.
        lead: frames from the last that was seen to the predicted one.
        seen: the last frame that was seen, [S,C,H,W].
        truth: the frame that was to be predicted; NaN after the end of the sequence.
        glances: of each model.
    """

    names: tuple[str, ...]
    title: str
    label: int
    classes: tuple[str, ...]
    channels: tuple[Channel, ...]
    shares: tuple[float, ...]
    lead: int
    seen: Float[Tensor, "S C H W"]
    truth: Float[Tensor, "S C H W"]
    glances: tuple[Glance, ...]


def sight(watchers: Sequence[Watcher], steps: int) -> tuple[Sighting, ...]:
    """Return the sequences that are shown; none without watchers.

    Args:
        watchers: the first run of each model, all of which see the same shares.
        steps: lead times of the forecasts; that of the training is shown, if there are as many.
    """
    if not watchers:
        return ()
    run, first = watchers[0]
    lead, named = min(steps, run.checkpoint.horizon), first.named[first.trained[-1]]
    return tuple(_sight(watchers, names, place, lead) for place, names in _choose(named))


def _choose(named: Named) -> list[tuple[int, tuple[str, ...]]]:
    """Places of sequences, by the probability of their true class, and what each is."""
    order = named.probabilities.gather(1, named.labels[:, None])[:, 0].argsort(
        descending=True, stable=True
    )
    ranks = {"best": 0, "median": (len(named) - 1) // 2, "worst": len(named) - 1}
    places = dict.fromkeys(ranks.values())
    return [
        (int(order[rank]), tuple(name for name, own in ranks.items() if own == rank))
        for rank in places
    ]


def _sight(watchers: Sequence[Watcher], names: tuple[str, ...], place: int, lead: int) -> Sighting:
    first, predictor = watchers[0][1], watchers[0][0].predictor
    views = list(first.views.values())
    titles = [_title(view, view.places[place]) for view in views]
    frames = [_frames(view, view.places[place], predictor, lead) for view in views]
    return Sighting(
        names,
        titles[0],
        int(first.named[first.shares[0]].labels[place]),
        first.names,
        predictor.channels,
        first.shares,
        lead,
        torch.stack([seen for seen, _ in frames]),
        torch.stack([truth for _, truth in frames]),
        tuple(_glance(run.predictor, found, place, lead) for run, found in watchers),
    )


def _glance(predictor: Predictor, recognition: Recognition, place: int, lead: int) -> Glance:
    predicted = []
    for frames, places, given in recognition.views.values():
        *_, last = predictor.forecast(predictor.outlook(frames, [places[place]], given, lead))
        predicted.append(last[0])
    probabilities = [named.probabilities[place] for named in recognition.named.values()]
    return Glance(torch.stack(predicted), torch.stack(probabilities))


def _frames(view: View, place: Place, predictor: Predictor, lead: int) -> tuple[Tensor, Tensor]:
    """The last frame that was seen, and the one at the lead time; NaN after the end."""
    kept = [view.frames.names.index(channel.name) for channel in predictor.channels]
    start = place.start + view.given - 1
    values = view.frames.values[place.sequence, start : start + lead + 1][:, kept]
    missing = torch.full_like(values[0], torch.nan)
    return values[0], values[lead] if len(values) > lead else missing


def _title(view: View, place: Place) -> str:
    """The name of a video; else the sequence, by its name if it has one, and the frame."""
    known = view.frames.coordinates
    if "video" in known:
        return str(known["video"].values[place.sequence])
    axis = known.get(view.frames.dims[0]) if len(view.frames.dims) == 4 else None
    own = place.sequence if axis is None else axis.values[place.sequence]
    return f"sequence {own}, from frame {place.start}"
