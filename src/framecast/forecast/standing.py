"""Where streams stand after a frame: a value, and the file that keeps it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
        "time": None if now.time is None else str(now.time),
        "kind": None if now.time is None else np.asarray(now.time).dtype.str,
        "step": None if draws is None else draws.step,
    }
    with whole(path) as partial:
        stored = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_file(stored, partial, {KEY: json.dumps(said)})


def load_now(path: PathLike, checkpoint: Checkpoint, limits: Limits) -> Now:
    """Return where streams stood.

    Args:
        path: the file.
        checkpoint: the model that forecasts them.
        limits: what holds of its predictions.

    Raises:
        UserError: if the file is none that was saved so, is damaged, or belongs to another model.
    """
    try:
        with safe_open(Path(path), framework="pt") as content:
            said = json.loads((content.metadata() or {})[KEY])
            names = content.keys()
            found = {name: content.get_tensor(name) for name in names}
        if said["weights"] != checkpoint.fingerprint():
            raise UserError(f"{path} was saved with another model: begin a new stream")
        return _restored(said, found, checkpoint, limits)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} does not hold where streams stand: {error}") from error


def _restored(
    said: dict[str, Any], found: dict[str, Tensor], checkpoint: Checkpoint, limits: Limits
) -> Now:
    model, last = checkpoint.model, found["last"]
    streams, _, height, width = last.shape
    cells = (-(-side // model.reduction) for side in (height, width))
    like = model.recurrences.initial_state(streams, *cells)
    leaves, form = pytree.tree_flatten(like)
    kept = [found[f"state.{n}"] for n in range(len(leaves))]
    for one, other in zip(kept, leaves, strict=True):
        grown = other.numel() == 0
        if one.shape[:1] + one.shape[1 + grown :] != other.shape[:1] + other.shape[1 + grown :]:
            raise ValueError(f"a state of {list(one.shape)}, where {list(other.shape)} is needed")
    device = next(model.parameters()).device
    state = pytree.tree_unflatten([t.to(device) for t in kept], form)
    draws = None
    if said["step"] is not None:
        draws = Draws.of([Place(n, 0) for n in range(streams)])._replace(step=int(said["step"]))
    time = None
    if said["time"] is not None:
        time = np.array(said["time"]).astype(np.dtype(said["kind"]))[()]
    progress = Progress(Carry(state, found["frame"].to(device)), limits, draws)
    return Now(progress, last, found.get("forcings"), time, int(said["frames"]))
