"""Checkpoints: one safetensors file from which the forecaster can be rebuilt alone.

It holds the weights, the statistics of the training frames, and, as JSON in its header, the
network's configuration and what the frames looked like. Reading it runs no code.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole
from framecast.frames.frames import Channel, Frames
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster, ForecasterConfig

BEST, LAST = "best.safetensors", "last.safetensors"

_RENAMED = {"mean": "offset", "std": "scale"}
"""Names of statistics in older checkpoints, which were always normalised by these two."""


@dataclass(frozen=True)
class FrameSpec:
    """What frames must look like to suit a trained network.

    Attributes:
        channels: names and attributes, in order.
        grid: (H, W).
        step: time from frame to frame, as text.
    """

    channels: tuple[Channel, ...]
    grid: tuple[int, int]
    step: str

    @classmethod
    def of(cls, frames: Frames) -> "FrameSpec":
        """Describe frames."""
        return cls(frames.channels, frames.grid, str(frames.step))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def rate(self) -> float | None:
        """Frames a second, where the time axis is one of plain numbers, as that of videos is."""
        try:
            return 1 / float(self.step)
        except ValueError:
            return None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained forecaster with all that is needed to use it.

    Attributes:
        model: the network, in evaluation mode once loaded.
        statistics: of the training frames.
        frames: what the training frames looked like.
        context: frames given before each forecast in training.
        horizon: lead times in training.
        epoch: epochs done.
        loss: the loss by which the best epoch was chosen.
    """

    model: Forecaster
    statistics: Statistics
    frames: FrameSpec
    context: int
    horizon: int
    epoch: int
    loss: float

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"statistics.{k}": v for k, v in vars(self.statistics).items()}
        described = {
            "model": dataclasses.asdict(self.model.config),
            "frames": dataclasses.asdict(self.frames),
            "context": self.context,
            "horizon": self.horizon,
            "epoch": self.epoch,
            "loss": self.loss,
        }
        header = {"framecast": json.dumps(described, default=str)}
        with whole(path) as partial:
            save_file(
                {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial, header
            )

    def check(self, frames: Frames) -> None:
        """Raise a UserError if `frames` are not like the training frames."""
        spec = self.frames
        if frames.names != spec.names:
            raise UserError(
                f"{frames.source} has channels {', '.join(frames.names)}, but the model was "
                f"trained on {', '.join(spec.names)}"
            )
        for ours, theirs in zip(frames.channels, spec.channels, strict=True):
            if ours.units and theirs.units and ours.units != theirs.units:
                raise UserError(
                    f"{frames.source} has {ours.name} in {ours.units}, but the model was trained "
                    f"on {theirs.units}: convert the data first"
                )
        if self.model.config.norm == "grid" and frames.grid != spec.grid:
            raise UserError(
                f"{frames.source} has a grid of {_by(frames.grid)}, but the model has a norm over "
                f"the grid ({_by(spec.grid)}) and cannot change it: regrid the input, or train "
                "with --model.norm group"
            )
        try:
            self.model.check_grid(*frames.grid)
        except ValueError as error:
            raise UserError(f"{frames.source} does not suit the model: {error}") from error
        if frames.step is not None and str(frames.step) != spec.step:
            raise UserError(
                f"{frames.source} has a frame every {frames.step}, but the model was trained on "
                f"one every {spec.step}"
            )


def load_checkpoint(path: PathLike) -> Checkpoint:
    """Load a trained forecaster.

    Args:
        path: a run folder, whose best weights are taken, or a `.safetensors` file.

    Raises:
        UserError: if there is none, it is damaged, or it is not a safetensors file. A
            pickled checkpoint is refused unread, since reading it could run code.
    """
    path = Path(path)
    file = path / BEST if path.is_dir() else path
    if not file.exists():
        raise UserError(f"{path} holds no checkpoint ({BEST}): is it a run of framecast train?")
    tensors, header = _read(file)
    if "framecast" not in header:
        raise UserError(f"{file} is a safetensors file, but was not written by framecast")
    described = json.loads(header["framecast"])
    spec = FrameSpec(
        channels=tuple(Channel(**c) for c in described["frames"]["channels"]),
        grid=(described["frames"]["grid"][0], described["frames"]["grid"][1]),
        step=described["frames"]["step"],
    )
    model = Forecaster(ForecasterConfig(**described["model"]), len(spec.channels), grid=spec.grid)
    model.load_state_dict(_part(tensors, "model."))
    return Checkpoint(
        model=model.eval(),
        statistics=Statistics(
            **{_RENAMED.get(k, k): v for k, v in _part(tensors, "statistics.").items()}
        ),
        frames=spec,
        **{key: described[key] for key in ("context", "horizon", "epoch", "loss")},
    )


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as content:
            names = content.keys()
            return {name: content.get_tensor(name) for name in names}, content.metadata() or {}
    except (SafetensorError, OSError) as error:
        with file.open("rb") as raw:
            start = raw.read(2)
        if start in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise UserError(
                f"{file} is a pickled checkpoint. It could run code when read, and was not read: "
                "framecast loads safetensors only"
            ) from error
        raise UserError(f"{file} cannot be read as safetensors ({error}): truncated?") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _by(grid: tuple[int, int]) -> str:
    return f"{grid[0]}×{grid[1]}"
