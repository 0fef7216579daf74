"""Checkpoints: one safetensors file from which a trained model can be rebuilt alone.

It holds the weights, the statistics of the training frames, and, as JSON in its header, what the
network is built from and what the frames looked like. Reading it runs no code.
"""

import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole
from framecast.frames.frames import Frames
from framecast.frames.places import agree, corners
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster
from framecast.models.codecs.codec import check_reduction
from framecast.models.model import Model
from framecast.runs.compat import upgrade_statistics
from framecast.runs.header import KEY, Header, build_from, check_statistics, read_header

BEST, LAST = "best.safetensors", "last.safetensors"


@dataclass(frozen=True, eq=False)
class Saved:
    """A trained model of any kind with all that is needed to use it.

    Attributes:
        model: in evaluation mode once loaded.
        statistics: of the training frames.
        frames: what the training frames looked like, and what the network reads and predicts.
        context: frames given before each forecast in training.
        horizon: lead times in training.
        epoch: epochs done.
        loss: the loss by which the best epoch was chosen.
    """

    model: Model
    statistics: Statistics
    frames: FrameSpec
    context: int
    horizon: int
    epoch: int
    loss: float

    @cached_property
    def scaling(self) -> Scaling:
        """How frames become what the network sees."""
        return Scaling(self.frames, self.statistics)

    @property
    def parameters(self) -> int:
        """Number of trained parameters; those of the tokeniser of a world model are not."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def fingerprint(self) -> int:
        """Return a number that other weights do not have."""
        found = 0
        for name, values in sorted(self.model.state_dict().items()):
            found = zlib.crc32(name.encode(), found)
            found = zlib.crc32(values.detach().cpu().contiguous().numpy().tobytes(), found)
        return found

    def check_units(self, frames: Frames) -> None:
        """Refuse frames of which a channel is in other units than in training.

        Raises:
            UserError: if one is.
        """
        trained = {c.name: c for c in (*self.frames.channels, *self.frames.static)}
        static = () if frames.static is None else frames.static.channels
        for ours in (*frames.channels, *static):
            theirs = trained[ours.name]
            if ours.units and theirs.units and ours.units != theirs.units:
                raise UserError(
                    f"{frames.source} has {ours.name} in {ours.units}, but the model was trained "
                    f"on {theirs.units}: convert the data first"
                )

    def check_step(self, frames: Frames) -> None:
        """Refuse frames with another time from one to the next than in training.

        Raises:
            UserError: if it is another.
        """
        spec = self.frames
        if frames.step is not None and not spec.irregular and str(frames.step) != spec.step:
            raise UserError(
                f"{frames.source} has a frame every {frames.step}, but the model was trained on "
                f"one every {spec.step}"
            )

    def save(self, path: PathLike, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the checkpoint, whole or not at all.

        Args:
            path: of the file.
            weights: in the place of the model's own, of which this process may have a part.
        """
        weights = self.model.state_dict() if weights is None else weights
        tensors = {f"model.{k}": v for k, v in weights.items()}
        tensors |= {f"statistics.{k}": v for k, v in vars(self.statistics).items() if v is not None}
        header = Header(
            model=self.model.spec.to_dict(),
            frames=self.frames,
            context=self.context,
            horizon=self.horizon,
            epoch=self.epoch,
            loss=self.loss,
            kind=self.model.kind,
        )
        with whole(path) as partial:
            stored = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
            save_file(stored, partial, {KEY: header.to_json()})


@dataclass(frozen=True, eq=False)
class Checkpoint(Saved):
    """A trained forecaster with all that is needed to use it.

    Attributes:
        model: the network.
    """

    model: Forecaster

    def check(self, frames: Frames) -> None:
        """Raise a UserError if `frames` are not like the training frames."""
        spec = self.frames
        read = [c.name for c in spec.channels if c.role != "diagnostic" or c.name in frames.names]
        if list(frames.names) != read:
            raise UserError(
                f"{frames.source} has channels {', '.join(frames.names)}, but the model was "
                f"trained on {', '.join(spec.names)}"
            )
        self.check_units(frames)
        if self.model.config.norm == "grid" and frames.grid != spec.grid:
            raise UserError(
                f"{frames.source} has a grid of {_by(frames.grid)}, but the model has a norm over "
                f"the grid ({_by(spec.grid)}) and cannot change it: regrid the input, or train "
                "with --model.norm frame"
            )
        try:
            check_reduction(self.model.reduction, frames.grid)
        except ValueError as error:
            raise UserError(f"{frames.source} does not suit the model: {error}") from error
        self.check_step(frames)
        self._warn_of_place(frames)

    def _warn_of_place(self, frames: Frames) -> None:
        """Say that what was learned of gaps at each place does not hold where frames lie."""
        spec, theirs = self.frames, corners(frames)
        if self.scaling.predicted.known is None or agree(spec.corners, theirs):
            return
        ends = " and ".join(
            f"{name} {theirs[name][0]:g} to {theirs[name][1]:g}, not {first:g} to {last:g}"
            for name, (first, last) in spec.corners.items()
        )
        warnings.warn(
            f"{frames.source} does not lie where the training frames did ({ends}): where no frame "
            "of it has a value there is none in a forecast either, whatever the training said",
            stacklevel=2,
        )


def load_checkpoint(path: PathLike) -> Checkpoint:
    """Load a trained forecaster.

    Args:
        path: a run folder, whose best weights are taken, or a `.safetensors` file.

    Raises:
        UserError: as `load_saved`, or if it is a model of another kind.
    """
    saved = load_saved(path)
    if not isinstance(saved.model, Forecaster):
        raise UserError(
            f"{path} is a {saved.model.kind}, which is no forecaster: name the run of "
            "one" + USES.get(saved.model.kind, "")
        )
    return Checkpoint(**vars(saved))


USES = {
    "tokeniser": "; framecast reconstruct shows what a tokeniser keeps of frames",
    "world": "; framecast forecast goes on from frames by it",
}
"""What models of other kinds are for."""


def load_saved(path: PathLike) -> Saved:
    """Load a trained model of any kind.

    Args:
        path: a run folder, whose best weights are taken, or a `.safetensors` file.

    Raises:
        UserError: if there is none, it is damaged, or it is not a safetensors file. A
            pickled checkpoint is refused unread, since reading it could run code.
    """
    file = checkpoint_file(Path(path))
    with _opened(file) as content:
        header = read_header(content.metadata() or {}, file)
        names = content.keys()
        shapes = {name: tuple(content.get_slice(name).get_shape()) for name in names}
        _check_names(shapes, file)
        check_statistics(upgrade_statistics(_part(shapes, "statistics.")), header.frames, file)
        model = build_from(header, _part(shapes, "model."), file)
        tensors = {name: content.get_tensor(name) for name in names}
    try:
        model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    return Saved(
        model=model.eval(),
        statistics=Statistics(**upgrade_statistics(_part(tensors, "statistics."))),
        frames=header.frames,
        context=header.context,
        horizon=header.horizon,
        epoch=header.epoch,
        loss=header.loss,
    )


def stored_kind(path: PathLike) -> str:
    """Return the kind of model that a run, or a checkpoint, holds, without loading it.

    Raises:
        UserError: as `load_saved`.
    """
    return stored_header(path).kind


def stored_header(path: PathLike) -> Header:
    """Return what a run, or a checkpoint, says of itself, without loading its model.

    Raises:
        UserError: as `load_saved`.
    """
    file = checkpoint_file(Path(path))
    with _opened(file) as content:
        return read_header(content.metadata() or {}, file)


def checkpoint_file(path: Path) -> Path:
    """Return the checkpoint of a run folder, or the file itself.

    Raises:
        UserError: if there is none.
    """
    file = path / BEST if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{path} holds no checkpoint ({BEST}): is it a run of framecast train?")
    return file


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a safetensors file; what is none is refused unread."""
    try:
        with safe_open(file, framework="pt") as content:
            yield content
    except (SafetensorError, OSError) as error:
        with file.open("rb") as raw:
            start = raw.read(2)
        if start in (b"PK", b"\x80\x02", b"\x80\x04"):
            raise UserError(
                f"{file} is a pickled checkpoint. It could run code when read, and was not read: "
                "framecast loads safetensors only"
            ) from error
        raise UserError(f"{file} cannot be read as safetensors ({error}): truncated?") from error


def _check_names(shapes: Mapping[str, Any], file: Path) -> None:
    for name in shapes:
        if not name.startswith(("model.", "statistics.")):
            raise UserError(f"{file} is damaged: it holds {name}, which belongs to nothing")


def _part(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}


def _by(grid: tuple[int, int]) -> str:
    return f"{grid[0]}×{grid[1]}"
