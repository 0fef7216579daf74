"""How well a run names classes, by the share of each video that it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from framecast.base.errors import UserError
from framecast.datasets.activities import ActivityVideos
from framecast.datasets.best_guess import BestGuess
from framecast.evaluate.runs import Run
from framecast.forecast.recognition import SHARES, name_classes
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.frames.windows import Windows
from framecast.metrics.classes import Named
from framecast.models import Recogniser
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection


class View(NamedTuple):
    """What is seen of each of some sequences, or windows.

    Attributes:
        frames: that it lies in.
        places: where each begins.
        given: frames that are seen of each; more may follow them.
    """

    frames: Frames
    places: Sequence[Place]
    given: int


@dataclass(frozen=True, eq=False)
class Recognition:
    """What a run names, at each share of videos, or of the given frames of windows.

    Attributes:
        views: what is seen at each share, in (0, 1], ascending; those of the training among them.
        trained: the shares of the training.
        named: the sequences at each share.
        groups: name of the group of each class, in the order of the classes; None without groups.
        best: how often the best possible guess is right; None where that is not known.
    """

    views: Mapping[float, View]
    trained: tuple[float, ...]
    named: Mapping[float, Named]
    groups: tuple[str, ...] | None = None
    best: BestGuess | None = None

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares, ascending."""
        return tuple(self.views)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.named[self.shares[0]].names

    def by_group(self, share: float) -> Named | None:
        """Return the groups that are named at a share; None without groups."""
        return None if self.groups is None else self.named[share].grouped(self.groups)

    def best_per_class(self, share: float) -> Mapping[str, float] | None:
        """Return the accuracy of the best possible guess of each class; None if it is not known."""
        return None if self.best is None else self.best.at(share)

    def best_accuracy(self, share: float) -> float | None:
        """Return that of all videos, of each class as many as there are; None likewise."""
        accuracies, named = self.best_per_class(share), self.named[share]
        if accuracies is None:
            return None
        right = sum(accuracies[named.names[label]] for label in named.labels.tolist())
        return right / len(named)


def recognise(run: Run, tested: View, data: Paths | None) -> Recognition | None:
    """Name the classes of the test part; None of a run that names none.

    Of videos, those are named that the run was trained on, or those at `data`, from each share of
    them. Of other labelled sequences, the windows on which forecasts are scored are named, from
    each share of their given frames.

    Args:
        run: of training.
        tested: the windows on which its forecasts are scored.
        data: other videos with labels; None for the test part of the data of the run.

    Raises:
        UserError: if the videos cannot be read, or have no labels.
    """
    if not isinstance(run.checkpoint.model, Recogniser):
        return None
    source = run.data.open()
    if isinstance(source, ActivityVideos):
        return _recognise_videos(run, source, data)
    return _recognise_windows(run, tested)


def _recognise_videos(run: Run, source: ActivityVideos, data: Paths | None) -> Recognition:
    trained = tuple(sorted(source.seen))
    shares = tuple(sorted({*SHARES, *trained}))
    every = source.at(shares)
    frames = every.test() if data is None else every.read(data, Selection.of(run.checkpoint.frames))
    if frames is None or frames.labels is None:
        where = f"the data of {run.path}" if frames is None else frames.source
        raise UserError(
            f"{where} hold no labelled videos to name the classes of: leave --data out for the "
            "test part of the data of the run; or, of a run on data.source video_classes, name a "
            "folder with a folder of videos for each class"
        )
    # Each share of a video is a sequence of its own, those of one video after one another.
    places = [Place(sequence, 0) for sequence in range(len(frames.values))]
    views = {
        share: View(frames, places[number :: len(shares)], run.checkpoint.context)
        for number, share in enumerate(shares)
    }
    windows = Windows(frames, run.predictor.scaling, run.checkpoint.context)
    names = run.checkpoint.frames.classes
    best = source.best_guess(data, names)
    return Recognition(views, trained, _named(run, windows, views), _groups(frames, names), best)


def _recognise_windows(run: Run, tested: View) -> Recognition:
    frames, places, given = tested
    if frames.labels is None:
        raise UserError(f"{frames.source} has no labels to compare the classes with (data.label)")
    counts = sorted({max(1, int(share * given + 1e-9)) for share in SHARES})
    views = {count / given: View(frames, places, count) for count in counts}
    # A step reads what is known ahead of the frame after it, so that windows are one longer.
    windows = Windows(frames, run.predictor.scaling, given + 1, given=given)
    return Recognition(views, (1.0,), _named(run, windows, views))


def _named(run: Run, windows: Windows, views: Mapping[float, View]) -> dict[float, Named]:
    """What a run names at each share."""
    names, frames = run.checkpoint.frames.classes, windows.frames
    assert frames.labels is not None
    labels = frames.labels.among(names, frames.source)
    found = {}
    for share, (_, places, given) in views.items():
        probabilities = name_classes(run.predictor, windows, places, given)
        last = [labels.at(place.sequence, place.start + windows.given - 1) for place in places]
        found[share] = Named(probabilities, torch.cat(last), names)
    return found


def _groups(frames: Frames, names: Sequence[str]) -> tuple[str, ...] | None:
    """The group of each class, where the frames tell them; a class without videos is its own."""
    if "group" not in frames.coordinates:
        return None
    known = zip(
        frames.coordinates["class"].values.tolist(),
        frames.coordinates["group"].values.tolist(),
        strict=True,
    )
    found = dict(known)
    return tuple(found.get(name, name) for name in names)
