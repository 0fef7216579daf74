"""What a trained network names: the classes of videos, as they go on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.datasets.activities import ActivityVideos, check_shares
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Place
from framecast.frames.windows import Windows
from framecast.models import Recogniser
from framecast.readers.paths import Paths
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.contents import source_of

SHARES = tuple(tenth / 10 for tenth in range(1, 11))
"""Shares of a video at which its class is named, unless others are asked for."""
AT_ONCE = 16
"""Sequences that are read side by side."""


class Recognised(NamedTuple):
    """The probabilities of the classes of videos, as more and more of them is seen.

    Attributes:
        videos: names of the files.
        shares: of each video that were seen.
        classes: names of the classes.
        probabilities: with a sum of 1 over the classes, [N,S,K].
    """

    videos: tuple[str, ...]
    shares: tuple[float, ...]
    classes: tuple[str, ...]
    probabilities: Float[Tensor, "N S K"]


def recognise_videos(
    run: PathLike, place: Paths, shares: Sequence[float] = SHARES, device: str = "auto"
) -> Recognised:
    """Name the classes of videos from their beginnings.

    Frames are sampled from each share as in training.

    Args:
        run: folder of a run whose network tells classes apart.
        place: a video, or a folder of videos.
        shares: of each video that are seen, each in (0, 1].
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Raises:
        UserError: if the run names no classes, or there is no video that can be decoded.
    """
    try:
        check_shares(shares)
    except ValueError as error:
        raise UserError(f"--{error}") from error
    predictor, source = Predictor(load_checkpoint(run), device), source_of(run)
    if not isinstance(predictor.model, Recogniser) or not isinstance(source, ActivityVideos):
        raise UserError(
            f"{run} names no classes of videos: it must be the folder of a run that was trained on "
            "labelled videos with model.classifier; of one that was trained on labelled files, "
            "give --every N (docs/recognition.md)"
        )
    frames = source.at(shares).watch(place)
    windows = Windows(frames, predictor.scaling, predictor.checkpoint.context)
    places = [Place(sequence, 0) for sequence in range(len(frames.values))]
    probabilities = name_classes(predictor, windows, places)
    names = frames.coordinates["video"].values[:: len(shares)].tolist()
    return Recognised(
        tuple(names),
        tuple(shares),
        predictor.checkpoint.frames.classes,
        probabilities.view(len(names), len(shares), -1),
    )


def name_classes(
    predictor: Predictor, windows: Windows, places: Sequence[Place], seen: int | None = None
) -> Float[Tensor, "N K"]:
    """Return the probabilities of the classes of windows from their first frames.

    Args:
        predictor: of a recogniser.
        windows: of the frames.
        places: where N of them begin.
        seen: frames that are read of each; None for all of a window.

    Raises:
        UserError: if the frames do not suit the model.
    """
    predictor.checkpoint.check(windows.frames)
    named = []
    for first in range(0, len(places), AT_ONCE):
        batch = windows.stack(windows.read(places[first : first + AT_ONCE]))
        named.append(predictor.name(batch.part(slice(0, seen))))
    return torch.cat(named)
