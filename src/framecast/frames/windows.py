"""Windows: stretches of a sequence that hold a context and a horizon, made into batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.batch import NO_LIMITS, Batch, Place
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames, Piece
from framecast.frames.order import Order, by_runs
from framecast.frames.places import area_weights
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import EXAMINED, Scaling, fill, stretches
from framecast.frames.times import intervals


class Windows:
    """Windows of sequences, by place, each a batch of one.

    Args:
        frames: where the windows lie.
        scaling: how they become what the network sees.
        length: frames of a window.
        by_area: whether cells count by their area in the loss.
        given: frames of a window that are given, the last of which has its label where frames are
            labelled; None for all.
        part: which frames of a window are wanted, where another process has the others; None for
            all.
    """

    def __init__(
        self,
        frames: Frames,
        scaling: Scaling,
        length: int,
        by_area: bool = False,
        given: int | None = None,
        part: slice | None = None,
    ) -> None:
        self.frames, self.scaling, self.length = frames, scaling, length
        self.part = part
        self.given = length if given is None else given
        self.area = area_weights(frames) if by_area else None
        self.actions = fitting_actions(frames, scaling.spec)
        self.labels = None
        if frames.labels is not None and scaling.spec.classes:
            self.labels = frames.labels.among(scaling.spec.classes, frames.source)
        self.complete = frames.complete and frames.names == scaling.spec.names
        self.static, self.limits = scaling.static(frames), scaling.limits(frames)
        self.typical = scaling.typical(frames)
        self.intervals = None
        if scaling.spec.irregular:
            self.intervals = torch.from_numpy(intervals(frames.times)).float()

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        place = Place(*place)
        if self.part is None:
            return self.make(self.values(place, place.start + self.length), place)
        first, stop = self.part.start, self.part.stop
        if not self.complete:  # what is missing is filled by what was known before
            whole = self.make(self.values(place, place.start + self.length), place)
            return whole.between(first, stop)
        begins = Place(place.sequence, place.start + first)
        return replace(self.make(self.values(begins, place.start + stop), begins), places=(place,))

    def read(self, places: Sequence[Place]) -> list[Batch]:
        """Return some windows, each a batch of one, without what they all share."""
        return [replace(self[place], static=None, limits=NO_LIMITS, area=None) for place in places]

    def stack(self, windows: Sequence[Batch]) -> Batch:
        """Return one batch of windows that were read, with what they share."""
        joined = Batch.stack(windows)
        return replace(joined, static=self.static, limits=self.limits, area=self.area)

    def values(self, place: Place, stop: int) -> Float[Tensor, "T C H W"]:
        """Read frames from the one at a place to `stop` - 1 of its sequence, in physical units."""
        values = self.frames.values[place.sequence, place.start : stop]
        return self.scaling.arrange(values, self.frames)

    def _label(self, place: Place) -> Int64[Tensor, " 1"]:
        """The class of a window: that of its last given frame."""
        assert self.labels is not None
        return self.labels.at(place.sequence, place.start + self.given - 1)

    def make(
        self,
        values: Float[Tensor, "T C H W"],
        place: Place,
        before: Float[Tensor, "_P H W"] | None = None,
    ) -> Batch:
        """Return the batch of one window whose values were read.

        Args:
            values: as `values` returns them.
            place: where they begin.
            before: the frame before them as a batch has it, whose values fill what is missing
                from the start; the climatology if None.
        """
        frames, (sequence, start) = self.frames, place
        part = slice(start, start + len(values))
        predicted = len(self.scaling.spec.predicted)
        seen = self.scaling.normalise(values[:, :predicted])
        known = None if self.complete else _known(values[:, :predicted])
        if known is not None:
            first = self.typical if before is None else before
            seen = fill(seen[None], known[None], first[None])[0]
        forcings = None
        if self.scaling.spec.reads_forcings:
            given = self.scaling.fill_forcings(values[:, predicted:])
            forcings = self.scaling.forcings(frames, *given, frames.times[part])
        return Batch(
            frames=seen[None],
            mask=None if known is None else known[None],
            forcings=None if forcings is None else forcings[None],
            static=self.static,
            actions=None if self.actions is None else self.actions[[sequence], part],
            intervals=None if self.intervals is None else self.intervals[None, part],
            labels=None if self.labels is None else self._label(place),
            limits=self.limits,
            area=self.area,
            places=(place,),
        )


@dataclass(frozen=True, eq=False)
class WindowsOfParts:
    """What a worker process does: it reads windows of several parts.

    Attributes:
        parts: windows of each.
    """

    parts: tuple[Windows, ...]

    def __call__(self, question: tuple[int, Sequence[Place]]) -> list[Batch]:
        """Read the windows of a part at some places."""
        part, places = question
        return self.parts[part].read(places)


def fitting_actions(frames: Frames, spec: FrameSpec) -> Float[Tensor, "N T A"] | None:
    """Return actions with as many numbers as the network reads, [N,T,A]; None if it reads none.

    Unit vectors are filled up with 0: a file may hold fewer of the numbered actions than the
    training data. Where both name their actions, these are matched by their names.

    Raises:
        UserError: if an action has another number of numbers, or is none that the network knows.
    """
    actions, count = frames.actions, spec.actions
    if actions is not None and count and frames.action_names and spec.action_names:
        return _by_name(actions, frames, spec.action_names)
    if not count or actions is None or actions.shape[-1] == count:
        return actions if count else None
    missing = count - actions.shape[-1]
    told = actions.nan_to_num(0.0)
    units = bool(((told == 0) | (told == 1)).all() and (told.sum(-1) <= 1).all())
    if missing < 0 or not units:
        raise UserError(
            f"{frames.source}: an action has {actions.shape[-1]} numbers, or kinds, but the model "
            f"was trained on {count}"
        )
    return torch.nn.functional.pad(actions, (0, missing))


def _by_name(
    actions: Float[Tensor, "N T A"], frames: Frames, names: tuple[str, ...]
) -> Float[Tensor, "N T A2"]:
    """Put actions in the order of the names that a network knows."""
    if frames.action_names == names:
        return actions
    done = actions.nan_to_num(0.0).any(1).any(0).tolist()
    for name, there in zip(frames.action_names, done, strict=True):
        if there and name not in names:
            raise UserError(
                f"{frames.source}: the action {name} is none of those that the model was trained "
                f"on, {', '.join(names)}"
            )
    ordered = torch.zeros(*actions.shape[:2], len(names))
    for place, name in enumerate(frames.action_names):
        if name in names:
            ordered[..., names.index(name)] = actions[..., place]
    return ordered.where(actions.isfinite().all(-1, keepdim=True), torch.nan)


def _known(values: Float[Tensor, "T C H W"]) -> Bool[Tensor, "T C H W"] | None:
    """Where values are known; None where all are."""
    if values.sum().isfinite():
        return None  # found in a tenth of the time
    missing = values.isnan()
    return ~missing if missing.any() else None


class CropSampler:
    """Random windows in random order; the same for the same seed and epoch.

    Args:
        pieces: stretches of frames; from those shorter than a window comes none.
        length: frames of a window.
        per_sequence: windows from each piece in an epoch; None for as many as fit side by side.
        seed: of the order and the places.
        most: windows in an epoch, drawn from all; None for all.
        allowed: the places that a window may begin at, in each sequence, [T]; None for all.
        chunks: how the frames are stored, by which the order is made cheap to read; None if each
            is on its own.
        frame: bytes of a frame.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        length: int,
        per_sequence: int | None,
        seed: int,
        most: int | None = None,
        allowed: Sequence[Bool[np.ndarray, " _T"]] | None = None,
        chunks: Chunks | None = None,
        frame: int = 1,
    ) -> None:
        self.length, self.chunks, self.frame = length, chunks, frame
        self.starts = [_starts(piece, length, allowed) for piece in pieces]
        self.sequences = np.array([piece.sequence for piece in pieces])
        fitting = np.array([len(piece) // length for piece in pieces])
        wanted = fitting if per_sequence is None else np.full_like(fitting, per_sequence)
        counts = np.where([len(starts) > 0 for starts in self.starts], wanted, 0)
        self.pieces = np.repeat(np.arange(len(counts)), counts)
        self.seed, self.epoch, self.done, self.most = seed, 0, 0, most

    def begin_epoch(self, epoch: int, done: int = 0) -> None:
        """Choose the epoch whose windows come next, and how many of them were there before."""
        self.epoch, self.done = epoch, done

    def __len__(self) -> int:
        """Windows of a whole epoch."""
        return len(self.pieces[: self.most])

    def __iter__(self) -> Iterator[Place]:
        """Yield the windows of the epoch that are left."""
        return self.order().places()

    def order(self) -> Order:
        """Return the windows of the epoch that are left."""
        random = np.random.default_rng([self.seed, self.epoch])
        pieces = random.permutation(self.pieces)[: self.most]
        chosen = random.integers([len(self.starts[piece]) for piece in pieces])
        starts = [self.starts[p][n] for p, n in zip(pieces, chosen, strict=True)]
        order = Order(self.sequences[pieces], np.array(starts, int))
        if self.chunks is not None:
            size, seed = self.length * self.frame, [self.seed, self.epoch, 1]
            order = by_runs(order, self.chunks, self.length, size, seed)
        return order.at(np.arange(self.done, len(starts)))


def _starts(
    piece: Piece, length: int, allowed: Sequence[Bool[np.ndarray, " _T"]] | None
) -> np.ndarray:
    starts = np.arange(piece.start, max(piece.start, piece.stop - length + 1))
    return starts if allowed is None else starts[allowed[piece.sequence][starts]]


def side_by_side(
    frames: Frames,
    length: int,
    allowed: Sequence[Bool[np.ndarray, " _T"]] | None = None,
    strides: Sequence[int] = (),
) -> list[Place]:
    """Return the places of windows that follow one another in each piece of the sequences.

    Args:
        frames: that they lie in.
        length: frames of a window.
        allowed: the places that a window may begin at, in each sequence, [T]; None for all.
        strides: frames from one window to the next, in turns; none for `length`, so that windows
            do not overlap.

    Raises:
        UserError: if no window fits.
    """
    check_length(frames, length)
    return [
        Place(sequence, place)
        for sequence, start, stop in frames.pieces
        for place in _in_turns(start, stop - length, strides or (length,))
        if allowed is None or allowed[sequence][place]
    ]


def _in_turns(first: int, last: int, strides: Sequence[int]) -> Iterator[int]:
    """Places from the first to the last, with steps that take turns."""
    turns = cycle(strides)
    while first <= last:
        yield first
        first += next(turns)


def allowed_starts(
    frames: Frames, length: int, context: int, fraction: float, gaps: bool = True
) -> list[Bool[np.ndarray, " _T"]] | None:
    """Tell the windows whose targets are known well enough.

    Args:
        frames: that they lie in, channels in the order of roles.
        length: frames of a window.
        context: frames of it that are given.
        fraction: share of the values to be forecast, over all predicted channels, that must be
            known.
        gaps: whether values that are not held in memory are looked through; it takes a reading
            of all of them, which data without gaps need not pay.

    Returns:
        For each sequence, whether a window may begin at each frame, [T]; None if all may.
    """
    complete = not gaps if frames.complete is None else frames.complete
    if complete or fraction <= 0:
        return None
    allowed = []
    predicted = len(frames.with_role("prognostic", "diagnostic"))
    for sequence, frames_of_it in enumerate(frames.lengths):
        parts = stretches(frames, sequence, EXAMINED)
        shares = np.concatenate([_shares(part[:, :predicted]) for part in parts])
        total = np.concatenate([[0.0], np.cumsum(shares)])
        starts = np.zeros(frames_of_it, bool)
        last = frames_of_it - length + 1
        if last > 0:
            places = np.arange(last)
            known = total[places + length] - total[places + context]
            starts[:last] = known / (length - context) >= fraction
        allowed.append(starts)
    return None if all(starts.all() for starts in allowed) else allowed


def check_length(frames: Frames, length: int) -> None:
    """Raise a UserError if a window of `length` frames does not fit in the sequences."""
    longest = max(map(len, frames.pieces))
    if longest < length:
        cut = (
            f" (cut from {frames.length} where times are missing)"
            if longest < frames.length
            else ""
        )
        raise UserError(
            f"{frames.source}: this part has sequences of {longest} frames{cut}, too short for a "
            f"window of {length} (context + horizon): choose a shorter context or horizon, or "
            "leave more frames to this part (data.validation_fraction, data.test_fraction)"
        )


def _shares(values: Float[Tensor, "T C H W"]) -> np.ndarray:
    """Share of the values of each frame that are known."""
    return (~values.isnan()).double().mean((1, 2, 3)).numpy()
