"""What a user says of the frames to learn from, and the data set that this names."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from framecast.base.config import check_options, nearest

# Each data set registers itself.
from framecast.datasets import (  # noqa: F401
    files,
    kth,
    moving_mnist,
    published_worlds,
    something_something,
    video_classes,
    videos,
    weatherbench,
    worlds,
)
from framecast.datasets.source import SOURCES, Source
from framecast.frames.coarsen import cell_sizes, check_coarsen
from framecast.frames.derived import FORCINGS, STATIC
from framecast.frames.durations import check_every
from framecast.frames.frames import Frames
from framecast.frames.period import check_period, plain
from framecast.frames.region import check_region
from framecast.frames.roles import Bounds, FrameSpec
from framecast.frames.statistics import Normalise, Statistics
from framecast.frames.times import TOLERANCE
from framecast.readers.counted import check_time_units
from framecast.readers.layout import check_layout
from framecast.readers.recognise import GIVEN
from framecast.readers.selection import EVERYTHING, Join, Selection
from framecast.readers.stamps import check_pattern

SHARED = ("path", "variables", "validation_fraction", "test_fraction")
"""Keys that any data set may read, and has a default for; null leaves it to the data set."""

ARRANGED = (
    *("join", "times_from", "group", "dims", "select", "layout", "time_tolerance"),
    *("time_units", "region", "coarsen", "period", "every", "units"),
)
"""Keys that only data sets of files read: how they are put together, and what is cut of them."""

SELECTED = (
    *("diagnostic", "forcings", "static", "missing", "actions", "action_shift", "label"),
    "irregular",
    *ARRANGED,
    "cache",
)
"""All keys that only data sets of files read, together with variables."""


@dataclass(frozen=True)
class DataConfig:
    """The frames to learn from.

    Attributes:
        source: where frames come from: files, your own; videos; video_classes;
            something_something; kth; moving_mnist; weatherbench; dmlab, minecraft, habitat and
            episodes, which have actions.
        path: file or folder to read; null stands for the source's own place. For files: a file
            of any kind that is read (docs/data.md); a folder that holds files, or folders, named
            train, validation and test; or many files that are one series, as a folder, a pattern
            in quotes ('obs/2019-*.nc') or a list. For videos: a file, or a folder of files.
        variables: variables that are read and predicted (prognostic), in this order; null stands
            for all that no other key names.
        diagnostic: variables that are predicted, but not read by the network.
        forcings: variables that the network reads and that are known ahead of time; or
            time_of_day, time_of_year and insolation, which are derived from the times.
        static: fields without time that the network reads, such as orography; or latitude,
            longitude and grid_spacing, which are derived from the coordinates.
        missing: values that stand for a missing one, such as [-9999], beside NaN and what the
            file declares.
        mask_channel: whether the network reads where its inputs are missing; null stands for the
            variables that have gaps in the training data.
        known_fraction: least share of the frames to be forecast that must be known, in [0, 1].
            Windows of which less is known are left out.
        bounds: least and greatest value that forecasts of a variable are held within, by its
            name, such as {rain: [0, null]}.
        actions: variable of what is done between one frame and the next; null stands for none.
        action_shift: frames by which actions are stored late, 0 or 1. With 0, an action acts
            between its frame and the next; with 1, it led to its frame.
        label: variable or coordinate of the classes of a labelled file, which model.classifier
            learns to name: of each sequence; or of each frame, where that of the last given frame
            is the label of a window. Null stands for none.
        irregular: whether the time between frames varies throughout, and the network reads it.
        join: how several files belong together: time, one after the other in the order of their
            times; or sequences, each a series of its own. Null stands for time, where they have
            times.
        times_from: how times are written in the names of files that hold one frame each, such as
            %Y%m%d_%H%M; null looks for it where files have no times.
        group: group of a NetCDF, HDF5 or Zarr file that holds the variables, such as Grid; null
            stands for the only one that does.
        dims: what the dimensions of a labelled file are, where they are not recognised rightly:
            the name of one for some of time, row, column, sequence and channel, such as
            {sequence: run}.
        select: what is read of dimensions of a labelled file, such as {level: [500, 850]}: values
            of the coordinate, or places from 0 along a dimension without one. One value stands
            for a dimension that is then dropped.
        time_tolerance: share of a step that each time may be off the even axis, in [0, 0.25]: times
            that jitter or are rounded. The times themselves are kept.
        layout: what the axes of a NumPy array are, a letter for each: n (sequences), t (times), c
            (channels), h (rows), w (columns), such as nthw; null where its shape says it.
        time_units: what plain numbers on the time axis count, or what frames without times do, such
            as hours since 1996-01-05, or 6 hours since 1996-01-05.
        region: part of the grid that is read: least and greatest value of a coordinate, both
            included, such as {latitude: [30, 60], longitude: [-20, 40]}; or places of rows and
            columns, counted from 0, such as {row: [0, 63]}.
        coarsen: cells along a side of the blocks of the grid (of the region) whose means are read,
            weighted by area where there are latitudes; 1 reads the cells themselves.
        period: first and last time that is read, such as [2000-01-01, 2009-12]; null for an open
            end. A part of a date stands for all times that begin with it.
        every: time from one frame that is read to the next, such as 6 h, or how many frames.
        units: unit that values are converted to, by the name of a variable, such as {t: degC};
            needs the extra units.
        vectors: variables that are components of vectors, eastward or northward, such as [u, v]:
            they change sign across a pole (model.padding sphere). Null stands for those whose
            standard name says so.
        validation_fraction: share of a single file that is kept for validation, in [0, 1); null
            stands for the source's own. It is the last sequences, or the last stretch of time
            before the test's if the file holds one sequence. With 0, the last weights count as
            the best.
        test_fraction: share of a single file that is kept for the test, in [0, 1); null stands
            for the source's own. It follows the share for validation.
        options: settings of the source's own, by name (docs/data.md); files has none.
        normalise: how frames are scaled for the network: standard (mean 0 and standard deviation
            1 over the training frames); unit or symmetric (the range that the channels declare,
            valid_range, to [0, 1] or to [-1, 1]).
        crops_per_sequence: number of random windows taken from each sequence, or each stretch of
            it between gaps in time, in an epoch; null stands for as many as it holds without
            overlap.
        windows_per_epoch: largest number of windows in an epoch, drawn anew from all sequences in
            each; null stands for all of them.
        workers: processes that read windows of training ahead, where frames are not held in
            memory; with 0 they are read where they are needed. The windows, and their order, are
            the same for any number.
        cache: whether the values of files that are slow to read are written once into the cache,
            from which every run then reads them, the same to the bit.
    """

    source: str = "files"
    path: list[str] | str | None = None
    variables: list[str] | None = None
    diagnostic: list[str] = field(default_factory=list)
    forcings: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)
    mask_channel: bool | None = None
    known_fraction: float = 0.1
    bounds: dict[str, list[float | None]] = field(default_factory=dict)
    actions: str | None = None
    action_shift: int = 0
    label: str | None = None
    irregular: bool = False
    join: Join | None = None
    times_from: str | None = None
    group: str | None = None
    dims: dict[str, str] = field(default_factory=dict)
    select: dict[str, Any] = field(default_factory=dict)
    time_tolerance: float = TOLERANCE
    layout: str | None = None
    time_units: str | None = None
    region: dict[str, Any] = field(default_factory=dict)
    coarsen: int = 1
    period: list[Any] | None = None
    every: int | str = 1
    units: dict[str, str] = field(default_factory=dict)
    vectors: list[str] | None = None
    validation_fraction: float | None = None
    test_fraction: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    normalise: Normalise = "standard"
    crops_per_sequence: int | None = None
    windows_per_epoch: int | None = None
    workers: int = 0
    cache: bool = False

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} {value} must be in [0, 1)")
        if (self.validation_fraction or 0) + (self.test_fraction or 0) >= 1:
            raise ValueError("validation_fraction + test_fraction must leave frames for training")
        for name in ("crops_per_sequence", "windows_per_epoch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.workers < 0:
            raise ValueError(f"workers {self.workers} must be at least 0")
        self._check_roles()
        if self.times_from is not None:
            check_pattern(self.times_from)
        if isinstance(self.path, list) and self.source != "files":
            raise ValueError(f"data.source {self.source} reads one path, not {self.path}")
        for name in self.dims:
            if name not in GIVEN:
                raise ValueError(f"dims.{name} is none of {', '.join(GIVEN)}{nearest(name, GIVEN)}")
        if not 0 <= self.time_tolerance <= 0.25:
            raise ValueError(f"time_tolerance {self.time_tolerance} must be in [0, 0.25]")
        if self.layout is not None:
            check_layout(self.layout)
        if self.time_units is not None:
            check_time_units(self.time_units)
        check_region(self.region)
        check_coarsen(self.coarsen)
        check_every(self.every)
        if self.period is not None:
            check_period(self.period)
            # YAML makes dates of texts, which the configuration of a run cannot hold.
            object.__setattr__(self, "period", [plain(end) for end in self.period])
        self.open()

    def _check_roles(self) -> None:
        if not 0 <= self.known_fraction <= 1:
            raise ValueError(f"known_fraction {self.known_fraction} must be in [0, 1]")
        if self.action_shift not in (0, 1):
            raise ValueError(f"action_shift {self.action_shift} must be 0 or 1")
        if self.action_shift and self.actions is None:
            raise ValueError(f"action_shift {self.action_shift} moves actions: set data.actions")
        for name, ends in self.bounds.items():
            low, high = (*ends, None, None)[:2]
            if len(ends) != 2 or (low is not None and high is not None and low >= high):
                raise ValueError(
                    f"bounds of {name} {ends} must be [least, greatest], ascending; null for none"
                )

    @property
    def selection(self) -> Selection:
        """What is read of a labelled file."""
        return Selection(
            variables=None if self.variables is None else tuple(self.variables),
            diagnostic=tuple(self.diagnostic),
            forcings=tuple(n for n in self.forcings if n not in FORCINGS),
            static=tuple(n for n in self.static if n not in STATIC),
            missing=tuple(self.missing),
            actions=self.actions,
            action_shift=self.action_shift,
            label=self.label,
            irregular=self.irregular,
            join=self.join,
            times_from=self.times_from,
            group=self.group,
            dims=self.dims,
            select=self.select,
            time_tolerance=self.time_tolerance,
            layout=self.layout,
            cache=self.cache,
            time_units=self.time_units,
            region=self.region,
            coarsen=self.coarsen,
            period=None if self.period is None else (self.period[0], self.period[1]),
            every=self.every,
            units=self.units,
        )

    def open(self) -> Source:
        """Return the data set with its settings; nothing is read yet.

        Raises:
            ValueError: if there is no such data set, or it has no such setting.
        """
        kind: Any = SOURCES.find(self.source)
        known = {f.name for f in dataclasses.fields(kind)}
        given = {n: getattr(self, n) for n in SHARED if getattr(self, n) is not None}
        if "selection" in known:
            given.pop("variables", None)
            given["selection"] = self.selection
        else:
            asked = {n for n in SELECTED if getattr(self.selection, n) != getattr(EVERYTHING, n)}
            given |= dict.fromkeys(asked)
        for name in given:
            if name not in known:
                raise ValueError(f"data.{name} is not read by data.source {self.source}: remove it")
        try:
            options = check_options(kind, self.options, skip={*SHARED, "selection"})
        except ValueError as error:
            raise ValueError(f"data.source {self.source}: {error}") from error
        source: Source = kind(**given, **options)
        return source

    def describe(self, train: Frames, statistics: Statistics) -> FrameSpec:
        """Describe what a network for these frames reads and predicts.

        Args:
            train: the training part.
            statistics: of it, which know what is missing.

        Raises:
            ValueError: if bounds name a variable that is not predicted.
        """
        spec = FrameSpec.of(
            train,
            derived=tuple(n for n in self.forcings if n in FORCINGS),
            derived_static=tuple(n for n in self.static if n in STATIC),
            flagged=self._flagged(train, statistics),
            bounds={name: _bounds(ends) for name, ends in self.bounds.items()},
            missing=tuple(self.missing),
            action_variable=self.actions,
            action_shift=self.action_shift,
            label=self.label,
            dims=self.dims,
            select=self.select,
            time_tolerance=self.time_tolerance,
            layout=self.layout,
            time_units=self.time_units,
            region=self.region,
            coarsen=self.coarsen,
            cells=None if self.coarsen == 1 else cell_sizes(train),
            every=self._lasting(train),
            units=self.units,
            vectors=self._vectors(train),
        )
        predicted = [channel.name for channel in spec.predicted]
        for name in self.bounds:
            if name not in predicted:
                raise ValueError(
                    f"data.bounds names {name}, but predicted are {', '.join(predicted)}"
                )
        return spec

    def _lasting(self, train: Frames) -> int | str:
        """How long `every` is: it holds of files with any step, as a number of frames does not."""
        timed = train.step is not None and train.step.seconds is not None
        return str(train.step) if self.every != 1 and timed else self.every

    def _vectors(self, train: Frames) -> tuple[str, ...]:
        """The channels that are components of vectors: those that are named, or say it."""
        if self.vectors is None:
            return tuple(channel.name for channel in train.channels if channel.of_vector)
        names = [channel.name for channel in train.channels]
        for name in self.vectors:
            if name not in names:
                raise ValueError(f"data.vectors names {name}, but there are {', '.join(names)}")
        return tuple(self.vectors)

    def _flagged(self, train: Frames, statistics: Statistics) -> tuple[str, ...]:
        """The channels whose mask is read: of those that are read, the ones with gaps, or all."""
        if self.mask_channel is False:
            return ()
        return tuple(
            channel.name
            for channel, gaps in zip(train.channels, statistics.gaps, strict=True)
            if channel.role != "diagnostic" and (gaps or self.mask_channel)
        )


def _bounds(ends: list[float | None]) -> Bounds:
    return ends[0], ends[1]
