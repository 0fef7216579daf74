"""Where streams stand after a frame: a value, and the file that keeps it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils import _pytree as pytree

from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole
from framecast.forecast.members import Draws
from framecast.forecast.predictor import Progress
from framecast.frames.batch import Limits, Place
from framecast.frames.frames import Frames
from framecast.frames.moment import time_like, time_text
from framecast.models.unroll import Carry
from framecast.runs.checkpoint import Checkpoint

KEY = "framecast.stream"
FORMAT = 1


class Now(NamedTuple):
    """Where N streams stand: a value that is passed in and returned, of constant size.

    Attributes:
        progress: of the network, after the last frame.
        last: the last known value of each cell, as the network sees it, which fills gaps.
        forcings: the last known forcings, likewise; None where the data have none.
        time: of the last frame; None where frames have no times.
        frames: how many there were, those that were missing among them.
    """

    progress: Progress
    last: Float[Tensor, "N P H W"]
    forcings: Float[Tensor, "N F H W"] | None
    time: Any
    frames: int


def save_now(now: Now, checkpoint: Checkpoint, path: PathLike) -> None:
    """Write where streams stand, whole or not at all.

    Args:
        now: of the streams.
        checkpoint: the model that forecasts them.
        path: the `.safetensors` file.
    """
    carry, _, draws = now.progress
    tensors = {f"state.{n}": t for n, t in enumerate(pytree.tree_leaves(carry.state))}
    tensors |= {"frame": carry.frame, "last": now.last}
    if now.forcings is not None:
        tensors["forcings"] = now.forcings
    said = {
        "format": FORMAT,
        "weights": checkpoint.fingerprint(),
        "frames": now.frames,
        "time": None if now.time is None else time_text(now.time),
        "step": None if draws is None else draws.step,
    }
    with whole(path) as partial:
        stored = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_file(stored, partial, {KEY: json.dumps(said)})


def load_now(
    path: PathLike, checkpoint: Checkpoint, limits: Limits, like: Frames, most: int | None = None
) -> Now:
    """Return where streams stood.

    Nothing is made that is larger than the file, but for the state of as many streams.

    Args:
        path: the file.
        checkpoint: the model that forecasts them.
        limits: what holds of its predictions.
        like: frames of their grid and their kind of times.
        most: streams that it may hold; None for any number.

    Raises:
        UserError: if the file is none that was saved so, is damaged, belongs to another model, or
            holds too many streams.
    """
    try:
        with safe_open(Path(path), framework="pt") as content:
            said = json.loads((content.metadata() or {})[KEY])
            names = content.keys()
            found = {name: content.get_tensor(name) for name in names}
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']} is of another version of framecast")
        if said["weights"] != checkpoint.fingerprint():
            raise ValueError("it was saved with another model: begin a new stream")
        streams = len(found["last"])
        if most is not None and streams > most:
            raise ValueError(f"it holds {streams} streams, and at most {most} may be held")
        _check_frames(found, streams, checkpoint, like)
        return _restored(said, found, checkpoint, limits, like)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path} does not hold where streams stand: {error}") from error


def _check_frames(
    found: dict[str, Tensor], streams: int, checkpoint: Checkpoint, like: Frames
) -> None:
    """Raise a ValueError unless the frames of the streams are those of the model."""
    spec, head = checkpoint.frames, checkpoint.model.head
    predicted = len(spec.predicted)
    channels = {"last": predicted, "frame": predicted * (1 if head is None else 1 + head.size)}
    if spec.reads_forcings:
        channels["forcings"] = len(spec.of_role("forcing"))
    for name, count in channels.items():
        _check(name, found[name], torch.empty(streams, count, *like.grid, device="meta"))
        if not found[name].isfinite().all():
            raise ValueError(f"{name} has values that are not finite")


def _check(name: str, tensor: Tensor, like: Tensor) -> None:
    """Raise a ValueError where a tensor has another shape or type than one that suits."""
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        raise ValueError(
            f"{name} is {list(tensor.shape)} of {tensor.dtype}, where {list(like.shape)} of "
            f"{like.dtype} is needed"
        )


def _restored(
    said: dict[str, Any],
    found: dict[str, Tensor],
    checkpoint: Checkpoint,
    limits: Limits,
    like: Frames,
) -> Now:
    model, streams = checkpoint.model, len(found["last"])
    cells = (-(-side // model.reduction) for side in like.grid)
    fresh, form = pytree.tree_flatten(model.recurrences.initial_state(streams, *cells))
    kept = [found[f"state.{n}"] for n in range(len(fresh))]
    for number, (one, other) in enumerate(zip(kept, fresh, strict=True)):
        if other.numel() == 0 and one.ndim == other.ndim:  # the past of a Transformer, which grows
            other = other.new_empty(other.shape[0], one.shape[1], *other.shape[2:], device="meta")
        _check(f"state.{number}", one, other)
        if one.isnan().any():
            raise ValueError(f"state.{number} has values that are not numbers")
    device = next(model.parameters()).device
    state = pytree.tree_unflatten([t.to(device) for t in kept], form)
    draws = None
    if said["step"] is not None:
        draws = Draws.of([Place(n, 0) for n in range(streams)])._replace(step=int(said["step"]))
    time = None if said["time"] is None else time_like(said["time"], like.times)
    progress = Progress(Carry(state, found["frame"].to(device)), limits, draws)
    return Now(progress, found["last"], found.get("forcings"), time, int(said["frames"]))
