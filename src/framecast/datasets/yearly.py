"""The files of WeatherBench by their names: one for each year and variable, and the constants."""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from framecast.base.errors import UserError
from framecast.readers.file import names_in
from framecast.readers.paths import files_in
from framecast.readers.selection import Selection

_YEARLY = re.compile(r"(.+)_(\d{4})_([\d.]+deg)\.nc")
_CONSTANTS = re.compile(r"constants_([\d.]+deg)\.nc")
_BESIDE = re.compile(r".*_bnds|.*_bounds|crs|spatial_ref")
"""Variables that say something of others, and may stand in every file."""
_SHOWN = "geopotential_500hPa_1979_5.625deg.nc"


class Years(NamedTuple):
    """The years of a part, which an option of the data set names."""

    option: str
    all: range

    @property
    def asked_for(self) -> str:
        """Which option asks for them, in words."""
        return f"which data.options.{self.option} [{self.all[0]}, {self.all[-1]}] asks for"


class YearlyFile(NamedTuple):
    """A file that is named VARIABLE_YEAR_GRID.nc."""

    variable: str
    year: int
    grid: str
    path: Path


def find_yearly(folder: Path, selection: Selection) -> list[YearlyFile]:
    """Return the files of a folder, and of the folders in it, that hold what is selected.

    Raises:
        UserError: if there are none, on several grids, one twice, or two that hold one variable.
    """
    files = [
        YearlyFile(found[1], int(found[2]), found[3], path)
        for path in files_in(folder)
        if (found := _YEARLY.fullmatch(path.name))
    ]
    if not files:
        raise UserError(
            f"{folder} holds no yearly file of WeatherBench, such as {_SHOWN}: unpack them there, "
            "or fetch them (framecast fetch weatherbench-z500)"
        )
    _check_grids(files, folder)
    _check_doubles(files)
    return _holding(files, selection, folder)


def check_years(files: Sequence[YearlyFile], years: Years, folder: Path) -> None:
    """Raise a UserError that names the years of which a variable has no file."""
    for variable in sorted({file.variable for file in files}):
        there = {file.year for file in files if file.variable == variable}
        if missing := [year for year in years.all if year not in there]:
            raise UserError(
                f"{folder} has no file of {variable} for {in_words(missing)}, {years.asked_for}: "
                f"fetch what is missing, or choose years that are there, {in_words(sorted(there))}"
            )


def find_constants(place: Path) -> Path | None:
    """Return the file of constants in a folder of yearly files, or in a folder beside it."""
    for folder in (place, place.parent / "constants", place.parent):
        found = files_in(folder) if folder.is_dir() else []
        if folder == place.parent:
            found = [path for path in found if path.parent == folder]
        for path in found:
            if _CONSTANTS.fullmatch(path.name):
                return path
    return None


def in_words(years: Sequence[int]) -> str:
    """Write ascending years with those that follow one another as 1979-1985."""
    runs = [
        [year for _, year in run] for _, run in groupby(enumerate(years), lambda p: p[1] - p[0])
    ]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _check_grids(files: Sequence[YearlyFile], folder: Path) -> None:
    first = files[0]
    for file in files:
        if file.grid != first.grid:
            raise UserError(
                f"{folder} holds files on several grids, {first.path.name} and {file.path.name}: "
                "name the folder of one of them with data.path"
            )


def _check_doubles(files: Sequence[YearlyFile]) -> None:
    known: dict[tuple[str, int], Path] = {}
    for file in files:
        other = known.setdefault((file.variable, file.year), file.path)
        if other != file.path:
            raise UserError(
                f"{file.variable} of {file.year} is there twice, {other} and {file.path}: keep one "
                "of them, or name the folder that is meant with data.path"
            )


def _holding(files: Sequence[YearlyFile], selection: Selection, folder: Path) -> list[YearlyFile]:
    """The files that hold a variable that is asked for; all, where none is named."""
    asked = (*(selection.variables or ()), *selection.diagnostic, *selection.forcings)
    held: dict[str, str] = {}
    for variable in dict.fromkeys(file.variable for file in files):
        first = next(file.path for file in files if file.variable == variable)
        names = [n for n in names_in(first, selection) or () if not _BESIDE.fullmatch(n)]
        wanted = [n for n in names if not asked or any(_means(name, n) for name in asked)]
        for name in wanted:
            if name in held:
                raise UserError(
                    f"{folder} holds {name} in files of {held[name]} and of {variable}: name the "
                    "folder of the ones that are meant with data.path, or other variables with "
                    "data.variables"
                )
            held[name] = variable
    if not held:
        there = ", ".join(sorted({file.variable for file in files}))
        raise UserError(
            f"no yearly file of {folder} holds {', '.join(asked)}: its files are of {there}"
        )
    return [file for file in files if file.variable in held.values()]


def _means(asked: str, variable: str) -> bool:
    """Whether a name stands for a variable, or for a level of it."""
    return asked == variable or asked.startswith(f"{variable}_")
