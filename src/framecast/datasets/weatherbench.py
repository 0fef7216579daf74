"""WeatherBench, global weather of ERA5 on coarse grids, in the forms in which it is published.

The first version (Rasp et al. 2020) is a NetCDF file for each year and variable; the second (Rasp
et al. 2024) is one store of Zarr. Both are parted by years.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from framecast.base.errors import UserError
from framecast.datasets.source import Source, register_source
from framecast.datasets.yearly import Years, check_years, find_constants, find_yearly, in_words
from framecast.frames.frames import Frames
from framecast.frames.lazy import held
from framecast.frames.period import cut_period, thin
from framecast.frames.sentinels import warn_of_sentinels
from framecast.frames.splits import Splits
from framecast.readers.constants import with_constants
from framecast.readers.file import names_in
from framecast.readers.folder import is_folder
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths, find_paths
from framecast.readers.remote import is_address
from framecast.readers.selection import EVERYTHING, Selection


@register_source("weatherbench")
@dataclass(frozen=True)
class WeatherBench(Source):
    """Weather of ERA5 in the files of WeatherBench, parted by years.

    Rows run from south to north, whatever their order in a file.

    Attributes:
        path: folder with files named VARIABLE_YEAR_GRID.nc, of one variable or of several, or with
            folders of them; or a store of Zarr of WeatherBench 2, local or remote.
        selection: what is read of each file.
        train_years: first and last year to learn from.
        validation_years: first and last year that choose the best epoch; null for none.
        test_years: first and last year of the test; null for none.
    """

    path: str = "data/weatherbench"
    selection: Selection = EVERYTHING
    train_years: list[int] = field(default_factory=lambda: [1979, 2014])
    validation_years: list[int] | None = field(default_factory=lambda: [2015, 2016])
    test_years: list[int] | None = field(default_factory=lambda: [2017, 2018])

    def __post_init__(self) -> None:
        if self.selection.period is not None:
            raise ValueError(
                "data.source weatherbench is parted by years, and does not read data.period: set "
                "data.options.train_years, validation_years and test_years"
            )
        parts = {name: years for name in _PARTS if (years := self._years(name)) is not None}
        for (first, ours), (second, theirs) in combinations(parts.items(), 2):
            if common := sorted({*ours} & {*theirs}):
                raise ValueError(
                    f"data.options.{first} and {second} share {in_words(common)}: what is held out "
                    "must not be learned from"
                )

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if files or years are missing, or stand twice, or cannot be read.
        """
        train, validation, test = map(self._part, _PARTS)
        assert train is not None
        warn_of_sentinels(train)
        return Splits(train, validation, test)

    def test(self) -> Frames | None:
        """Read the years of the test; None if there are none.

        Raises:
            UserError: as `splits`.
        """
        return self._part("test_years")

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read other frames of the same kind, of all years that are there.

        Static fields that they do not hold are taken from the constants of `path`. Values are read
        where they are asked for, since a forecast needs few of an archive.

        Args:
            place: a file, a store, or a folder of yearly files.
            selection: what is read of it.

        Raises:
            UserError: if there are none, or they cannot be read.
        """
        own = self.selection
        selection = replace(selection, group=own.group, cache=own.cache, lazy=True)
        frames = self._open(place, selection, None)
        warn_of_sentinels(frames, "read")
        return frames

    def _years(self, name: str) -> range | None:
        """The years of a part; None where there is none.

        Raises:
            ValueError: unless they are a first and a last one.
        """
        years = getattr(self, name)
        if years is None:
            return None
        if len(years) != 2 or years[0] > years[1]:
            raise ValueError(
                f"data.options.{name} {years} must be its first and its last year, such as "
                f"{_PARTS[name]}" + ("" if name == "train_years" else "; null for no such part")
            )
        return range(years[0], years[1] + 1)

    def _part(self, name: str) -> Frames | None:
        years = self._years(name)
        if years is None:
            return None
        self._check_there()
        return self._open(self.path, self.selection, Years(name, years))

    def _open(self, place: Paths, selection: Selection, years: Years | None) -> Frames:
        """Read the years of a part, or all that are there."""
        folder = _folder(place)
        files = place if folder is None else _files(folder, selection, years)
        apart = bool(selection.static) and (folder is not None or not _holds(place, selection))
        selection = replace(selection, northward=True)
        own = replace(selection, static=(), units=_units_of(selection)) if apart else selection
        frames = open_frames(files, replace(own, lazy=True, every=1))
        frames = frames if folder is None else replace(frames, source=str(folder))
        frames = frames if years is None else _cut(frames, years)
        frames = thin(frames, selection.every, selection.anchor)
        if apart:
            frames = with_constants(frames, self._constants(), selection)
        return frames if selection.lazy else replace(frames, values=held(frames.values))

    def _constants(self) -> Path:
        found = None if is_address(self.path) else find_constants(Path(self.path))
        if found is None:
            raise UserError(
                f"data.static names {', '.join(self.selection.static)}, but neither {self.path} "
                "nor a folder constants beside it has a file such as constants_5.625deg.nc"
            )
        return found

    def _check_there(self) -> None:
        if not is_address(self.path) and not Path(self.path).exists():
            raise UserError(
                f"data.path {self.path} does not exist: name the folder of the yearly files, or a "
                "store of WeatherBench 2. framecast fetch weatherbench-z500 fetches geopotential "
                "at 500 hPa"
            )


_PARTS = {
    "train_years": [1979, 2014],
    "validation_years": [2015, 2016],
    "test_years": [2017, 2018],
}
"""The options that name years, with the usual ones."""


def _folder(place: Paths) -> Path | None:
    """The folder of yearly files that a place is; None where it is something else."""
    if isinstance(place, Sequence) and not isinstance(place, str):
        return None
    return Path(place) if not is_address(str(place)) and is_folder(Path(place)) else None


def _files(folder: Path, selection: Selection, years: Years | None) -> list[Path]:
    """The yearly files of a part, or all of them."""
    yearly = find_yearly(folder, selection)
    if years is not None:
        check_years(yearly, years, folder)
    return [file.path for file in yearly if years is None or file.year in years.all]


def _holds(place: Paths, selection: Selection) -> bool:
    """Whether a file holds all static fields that are selected."""
    names = names_in(find_paths(place)[0], selection)
    return names is None or {*selection.static} <= {*names}


def _cut(frames: Frames, years: Years) -> Frames:
    """The frames of some years, in each of which there must be one."""
    times = frames.times
    if times.dtype.kind not in "MO":
        raise UserError(
            f"{frames.source} has no dates, by which data.source weatherbench parts it: say what "
            "its times count with data.time_units"
        )
    dates = times.astype("datetime64[s]").astype(object) if times.dtype.kind == "M" else times
    there = {date.year for date in dates}
    if missing := [year for year in years.all if year not in there]:
        raise UserError(f"{frames.source} has no frame of {in_words(missing)}, {years.asked_for}")
    return cut_period(frames, (years.all[0], years.all[-1]))


def _units_of(selection: Selection) -> dict[str, str]:
    """The units of what is read beside static fields."""
    return selection.units_of([name for name in selection.units if name not in selection.static])
