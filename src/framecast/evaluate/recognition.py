"""How well a run names classes, by the share of each video that it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framecast.base.errors import UserError
from framecast.datasets.activities import ActivityVideos
from framecast.datasets.best_guess import BestGuess
from framecast.evaluate.runs import Run
from framecast.forecast.recognition import SHARES, name_classes
from framecast.frames.frames import Frames
from framecast.metrics.classes import Named
from framecast.models import Recogniser
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection


@dataclass(frozen=True, eq=False)
class Recognition:
    """What a run names, at each share of the videos.

    Attributes:
        shares: in (0, 1], ascending; those of the training among them.
        trained: the shares of the training.
        named: the sequences at each share.
        groups: name of the group of each class, in the order of the classes; None without groups.
        best: how often the best possible guess is right; None where that is not known.
    """

    shares: tuple[float, ...]
    trained: tuple[float, ...]
    named: Mapping[float, Named]
    groups: tuple[str, ...] | None = None
    best: BestGuess | None = None

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


def recognise(run: Run, data: Paths | None) -> Recognition | None:
    """Name the classes of the test videos; None of a run that names none.

    Args:
        run: of training.
        data: other videos with labels; None for the test part of the data of the run.

    Raises:
        UserError: if the videos cannot be read, or have no labels.
    """
    model, source = run.checkpoint.model, run.data.open()
    if not isinstance(model, Recogniser) or not isinstance(source, ActivityVideos):
        return None
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
    names = run.checkpoint.frames.classes
    labels = frames.labels.among(names, frames.source)
    probabilities = name_classes(run.predictor, frames, run.checkpoint.context)
    seen = frames.coordinates["seen"].values
    every_one = Named(probabilities, labels, names)
    named = {share: every_one.part((seen == share).tolist()) for share in shares}
    best = source.best_guess(data, names)
    return Recognition(shares, trained, named, _groups(frames, names), best)


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
