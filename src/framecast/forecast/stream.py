"""Forecasts of frames that come in one by one, for as long as they come."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.forecast.predictor import Predictor
from framecast.forecast.standing import Now, load_now, save_now
from framecast.frames.batch import Batch, Place, make_conditions
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.moment import time_like
from framecast.frames.numbers import Numbers, floats
from framecast.frames.scaling import fill
from framecast.frames.times import Step, counted, places_at, readable, times_after
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.contents import source_of

LONGEST_GAP = 1000
"""Frames that may be missing between two that come in: beyond that a stream begins anew."""


class Streamer:
    """Forecasts after each frame that comes in; all that it remembers is passed in.

    Args:
        predictor: the trained model, on its device.
        horizon: lead times K that are forecast after each frame, at least 1.
        like: frames of the same kind as those of the training, for what a frame by itself does not
            say: coordinates, static fields and the step of time. Needed where the model reads
            static or derived fields, or frames come with their times.

    Raises:
        UserError: if the model needs `like` and there is none, or it does not suit the model.
    """

    def __init__(self, predictor: Predictor, horizon: int = 1, like: Frames | None = None) -> None:
        if horizon < 1:
            raise UserError(f"horizon {horizon}: at least 1 lead time is forecast")
        self.predictor, self.horizon = predictor, horizon
        self.spec, self.scaling = predictor.checkpoint.frames, predictor.scaling
        self.like = _plain(self.spec.grid) if like is None else like
        self.step: Step | None = None if like is None else like.step
        if like is not None:
            predictor.checkpoint.check(like)
        elif fixed := [*self.spec.derived, *self.spec.derived_static, *_names(self.spec.static)]:
            raise UserError(
                f"this model reads {', '.join(fixed)}: name a file of frames like those of the "
                "training, which holds the coordinates and the static fields (like)"
            )
        self.static = self.scaling.static(self.like)
        self.limits = self.scaling.limits(self.like)
        self.typical = self.scaling.typical(self.like)

    def push(
        self,
        frame: Numbers,
        time: Any = None,
        *,
        forcings: Numbers | None = None,
        actions: Numbers | None = None,
        now: Now | None = None,
        between: Callable[[], object] | None = None,
    ) -> tuple[Float[Tensor, "N K C H W"], Now]:
        """Read a frame of each stream; return what follows, and where the streams stand then.

        Frames that did not come, by their times, count as missing: all of their values are filled
        and flagged as in training.

        Args:
            frame: the prognostic channels [N,P,H,W] in physical units, NaN where a value is
                missing, in any cell of any stream; a tensor or an array, of any type of number.
            time: of the frame; None for the step after the one before.
            forcings: at the frame and at the K after it [N,K+1,F,H,W], where the data have any.
            actions: from each frame to the next, of the frame and of the K − 1 after it [N,K,A].
            now: what the call before returned; None for a start.
            between: called before each frame that is read or forecast: it may raise to stop.

        Returns:
            The frames at lead 1 to K, in physical units, NaN where no value is possible; and
            where the streams stand.

        Raises:
            UserError: if the frame does not suit the model, time runs backwards or off the step,
                something that the model reads is not given, a value is infinite, or an action is
                not a number.
        """
        frame, forcings, actions = floats(frame), floats(forcings), floats(actions)
        self._check(frame, forcings, actions)
        if now is not None and len(frame) != len(now.last):
            raise UserError(
                f"{counted(len(now.last), 'stream')} came before, and now {len(frame)}: each frame "
                "that is pushed holds one of every stream"
            )
        times, missed = self._times(time, now)
        if missed and self.spec.actions:
            raise UserError(
                f"{len(missed)} frames are missing before {readable(time)}, and what was done "
                "meanwhile is not known: this model reads actions, begin a new stream"
            )
        nothing = torch.full_like(frame, torch.nan)
        unknown = None if forcings is None else torch.full_like(forcings, torch.nan)
        pause = between or (lambda: None)
        for late in missed:
            pause()
            _, now = self._read(nothing, late, unknown, actions, now, 0, pause)
        return self._read(frame, times, forcings, actions, now, self.horizon - 1, pause)

    def restored(self, path: PathLike, most: int | None = None) -> Now:
        """Return where streams stood when they were saved.

        Args:
            path: a file that `save_now` wrote.
            most: streams that it may hold; None for any number.

        Raises:
            UserError: if the file is none of these, belongs to another model, or holds more.
        """
        return load_now(path, self.predictor.checkpoint, self.limits, self.like, most)

    def _read(
        self,
        frame: Tensor,
        times: np.ndarray | None,
        forcings: Tensor | None,
        actions: Tensor | None,
        now: Now | None,
        further: int,
        pause: Callable[[], object],
    ) -> tuple[Tensor, Now]:
        """Read one frame, and forecast so many steps beyond the next, with a pause before each."""
        filled, known = self._filled(frame, now)
        ahead, last_forcings = self._forcings(len(frame), forcings, times, now)
        intervals = self._intervals(len(frame), times, now)
        conditions = make_conditions(
            ahead, self.static, actions, intervals, len(frame), self.horizon
        )
        batch = Batch(filled, known, limits=self.limits, places=_places(len(frame)))
        progress = None if now is None else now.progress
        given = self.predictor.given(batch, conditions.between(0, 1), progress)
        predictions, progress = given
        steps = (conditions.at(step) for step in range(1, further + 1))
        leads = [predictions[:, -1]]
        for lead, _ in self.predictor.ahead(steps, progress):
            pause()
            leads.append(lead)
        count = 1 if now is None else now.frames + 1
        time = None if times is None else times[0]
        after = Now(progress, filled[:, -1], last_forcings, time, count)
        return torch.stack(leads, dim=1), after

    def _filled(self, frame: Tensor, now: Now | None) -> tuple[Tensor, Tensor]:
        """A frame as the network sees it, and where it is known, [N,1,C,H,W]."""
        diagnostic = len(self.spec.predicted) - frame.shape[1]
        absent = frame.new_full((len(frame), diagnostic, *frame.shape[2:]), torch.nan)
        values = torch.cat([frame, absent], dim=1)[:, None]
        known = ~values.isnan()
        last = self.typical.expand(values[:, 0].shape) if now is None else now.last
        return fill(self.scaling.normalise(values), known, last), known

    def _forcings(
        self, streams: int, given: Tensor | None, times: np.ndarray | None, now: Now | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """All forcings at a frame and those after it, and the last known ones of the data."""
        if not self.spec.reads_forcings:
            return None, None
        if given is None:
            given = torch.zeros(streams, self.horizon + 1, 0, *self.like.grid)
        known = ~given.isnan()
        before = None if now is None else now.forcings
        filled = fill(self.scaling.forcing.normalise(given), known, before)
        if times is None:
            times = np.arange(self.horizon + 1)
        return self.scaling.forcings(self.like, filled, known, times), filled[:, 0]

    def _intervals(self, streams: int, times: np.ndarray | None, now: Now | None) -> Tensor | None:
        """The time since the frame before, in steps, of a frame and of those after it."""
        if not self.spec.irregular:
            return None
        assert times is not None
        assert self.step is not None
        intervals = torch.ones(streams, self.horizon)
        if now is not None:
            intervals[:, 0] = float((times[0] - now.time) / self.step.difference)
        return intervals

    def _times(self, time: Any, now: Now | None) -> tuple[np.ndarray | None, list[np.ndarray]]:
        """Times of a frame and of the K after it, and likewise of those that are missing before."""
        before = None if now is None else now.time
        if time is None and before is None:
            if self.spec.derived or self.spec.irregular:
                raise UserError("this model reads times: push each frame with its time")
            return None, []
        if self.step is None:
            raise UserError(
                "times say something only beside the step of the training: name a file of frames "
                "like those of the training (like)"
            )
        if time is None:
            return self._from(times_after(before, self.step, 1)[0]), []
        time = time_like(time, self.like.times)
        if before is None:
            return self._from(time), []
        if self.spec.irregular:
            if not time > before:
                raise UserError(f"{readable(time)} is not after {readable(before)}")
            return self._from(time), []
        following = times_after(before, self.step, LONGEST_GAP + 1)
        found = places_at(following, np.array([time]), self.step, self.like.tolerance)
        if not found:
            raise UserError(
                f"{readable(time)} is no frame after {readable(before)}: frames come every "
                f"{self.step}, and at most {LONGEST_GAP} may be missing; begin a new stream"
            )
        return self._from(time), [self._from(late) for late in following[: found[0]]]

    def _from(self, time: Any) -> np.ndarray:
        """A time and the K after it."""
        assert self.step is not None
        return np.array([time, *times_after(time, self.step, self.horizon)])

    def _check(self, frame: Tensor, forcings: Tensor | None, actions: Tensor | None) -> None:
        """Refuse what does not suit the model, in its own words."""
        streams, spec = len(frame), self.spec
        wanted = {
            "frame": (frame, spec.of_role("prognostic"), ()),
            "forcings": (forcings, spec.of_role("forcing"), (self.horizon + 1,)),
        }
        for name, (values, channels, over) in wanted.items():
            shape = (streams, *over, len(channels), *self.like.grid)
            if (values is None) == bool(channels) or (
                values is not None and tuple(values.shape) != shape
            ):
                found = "none" if values is None else list(values.shape)
                told = ", ".join(c.name for c in channels) or "none"
                raise UserError(f"{name} must be {list(shape)} ({told}), not {found}")
        shape = (streams, self.horizon, spec.actions)
        if (actions is None) == bool(spec.actions) or (
            actions is not None and tuple(actions.shape) != shape
        ):
            found = "none" if actions is None else list(actions.shape)
            raise UserError(f"actions must be {list(shape)}, not {found}")
        _check_numbers(frame, forcings, actions)


class Stream:
    """Streams that remember where they stand: `Streamer` for those who do not pass it on.

    Args:
        run: a run folder, or a `.safetensors` file.
        horizon: lead times K that are forecast after each frame, at least 1.
        like: frames like those of the training (see `Streamer`), or a file of them.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Raises:
        UserError: as `load_checkpoint` and `Streamer`.
    """

    def __init__(
        self,
        run: PathLike,
        horizon: int = 1,
        like: Frames | PathLike | None = None,
        device: str = "auto",
    ) -> None:
        predictor = Predictor(load_checkpoint(run), device)
        if isinstance(like, str | Path):
            like = frames_like(run, predictor, like)
        self.streamer = Streamer(predictor, horizon, like)
        self.now: Now | None = None

    def push(
        self,
        frame: Numbers,
        time: Any = None,
        *,
        forcings: Numbers | None = None,
        actions: Numbers | None = None,
    ) -> Float[Tensor, "N K C H W"]:
        """Read a frame of each stream, and return the frames at lead 1 to K (see `Streamer`)."""
        leads, self.now = self.streamer.push(
            frame, time, forcings=forcings, actions=actions, now=self.now
        )
        return leads

    def save(self, path: PathLike) -> None:
        """Write where the streams stand into a `.safetensors` file.

        Raises:
            UserError: if no frame came in yet.
        """
        if self.now is None:
            raise UserError("no frame came in yet: there is nothing to save")
        save_now(self.now, self.streamer.predictor.checkpoint, path)

    def load(self, path: PathLike) -> None:
        """Go on from where streams stood when they were saved.

        Raises:
            UserError: if the file is none of these, or belongs to another model.
        """
        self.now = self.streamer.restored(path)


def frames_like(run: PathLike, predictor: Predictor, file: PathLike) -> Frames:
    """Read a file of frames like those that a run was trained on.

    Raises:
        UserError: if it cannot be read so.
    """
    spec = predictor.checkpoint.frames
    return source_of(run).read([file], Selection.of(spec))


def _check_numbers(frame: Tensor, forcings: Tensor | None, actions: Tensor | None) -> None:
    """Refuse numbers that would spoil all that a stream remembers; only NaN means missing."""
    for name, values in {"frame": frame, "forcings": forcings}.items():
        if values is not None and values.isinf().any():
            raise UserError(f"{name}: some values are infinite; one that is missing is NaN")
    if actions is not None and not actions.isfinite().all():
        raise UserError("actions must be known at each step: some are NaN or infinite")


def _names(channels: Sequence[Channel]) -> list[str]:
    return [channel.name for channel in channels]


def _places(streams: int) -> tuple[Place, ...]:
    return tuple(Place(stream, 0) for stream in range(streams))


def _plain(grid: tuple[int, int]) -> Frames:
    """Frames of which nothing is known but their grid."""
    return Frames(torch.zeros(1, 1, 1, *grid), (Channel("none"),))
