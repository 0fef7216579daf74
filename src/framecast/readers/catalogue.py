"""Which channels a labelled file holds, by name: variables, and levels or bands of variables."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from framecast.base.config import nearest
from framecast.base.errors import UserError
from framecast.frames.channels import NAMED
from framecast.frames.derived import FORCINGS, STATIC
from framecast.readers.dates import axis_of, is_text
from framecast.readers.recognise import (
    Axis,
    NoGridError,
    Roles,
    UnclearError,
    recognise,
)
from framecast.readers.selection import Selection


@dataclass(frozen=True)
class Entry:
    """A channel of a file.

    Attributes:
        name: by which it is known.
        variable: that holds it.
        place: of it along the variable's dimensions of channels.
    """

    name: str
    variable: str
    place: tuple[int, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The channels of a file that were asked for.

    Attributes:
        entries: in the order of the channels: prognostic, diagnostic, forcings.
        roles: what the dimensions of each variable mean, by its name.
    """

    entries: tuple[Entry, ...]
    roles: Mapping[str, Roles]

    @property
    def shared(self) -> Roles:
        """What the dimensions mean that all channels share."""
        return self.roles[self.entries[0].variable]

    @property
    def evidence(self) -> dict[str, str]:
        """By dimension of any of the channels, what it is read as and what this was seen by."""
        return {dim: why for roles in self.roles.values() for dim, why in roles.evidence.items()}


def catalogue(dataset: xr.Dataset, selection: Selection, path: Path) -> Catalogue:
    """Find the channels that are asked for; all of a file's if none are named.

    Raises:
        UserError: if a name is not known or named twice, what a dimension means is unclear, or
            the channels do not share their time, rows and columns.
    """
    _check_dims(dataset, selection, path)
    found = _roles_of_all(dataset, selection)
    asked = [*(selection.variables or ()), *selection.diagnostic, *selection.forcings]
    others = [*selection.static, *([] if selection.actions is None else [selection.actions])]
    _check_twice([*asked, *others])
    known = _Known(dataset, {name: r for name, r in found.items() if isinstance(r, Roles)})
    absent = [n for n in asked if n not in known and n not in dataset.data_vars]
    absent += [n for n in others if n not in dataset.data_vars]
    if absent:
        raise _unknown(dataset, known, absent, selection, path)
    entries: list[Entry] = []
    if not selection.variables:
        left_out = (*selection.others, selection.label or "")
        entries += _all_entries(dataset, found, known, left_out, path)
    for name in asked:
        if name not in known:
            raise _refusal(path, name, found, dataset[name].dims)
        entries += known[name]
    roles = {e.variable: known.roles[e.variable] for e in entries}
    _check_real(dataset, roles, path)
    _check_shared(roles, dataset, path)
    return Catalogue(tuple(entries), roles)


def has_time(dataset: xr.Dataset, selection: Selection) -> bool:
    """Whether any variable has a dimension of time, or none of them is a grid."""
    found = _roles_of_all(dataset, selection).values()
    return not found or not all(isinstance(roles, NoGridError) for roles in found)


def axes_of(dataset: xr.Dataset, variable: str) -> list[Axis]:
    """Describe the dimensions of a variable by what their coordinates say."""
    return [axis_of(dataset, str(dim)) for dim in dataset[variable].dims]


def label_of(value: Any) -> str:
    """Write a level or the name of a band as part of a channel's name."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if not isinstance(value, int | float):
        return str(value).strip()
    if value == value and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


class _Known:
    """The channels of a file by all names that they may be asked for with."""

    def __init__(self, dataset: xr.Dataset, roles: Mapping[str, Roles]) -> None:
        self.roles = roles
        self.named: dict[str, list[Entry]] = {}
        self.of: dict[str, list[Entry]] = {name: _entries(dataset, name, roles) for name in roles}
        for name, entries in self.of.items():
            self.named[name] = entries
        for name, entries in self.of.items():
            if given := dataset[name].attrs.get(NAMED):
                self.named.setdefault(str(given), [Entry(str(given), name, entries[0].place)])
            for entry, long in zip(entries, _long_names(dataset, name, roles[name]), strict=True):
                self.named.setdefault(entry.name, [entry])
                self.named.setdefault(long, [Entry(long, name, entry.place)])

    def __contains__(self, name: str) -> bool:
        return name in self.named

    def __getitem__(self, name: str) -> list[Entry]:
        return self.named[name]


def _entries(dataset: xr.Dataset, name: str, roles: Mapping[str, Roles]) -> list[Entry]:
    """The channels of a variable: itself, or one for each level or band.

    Texts that name the bands of the one variable that has them are names enough.
    """
    channels = roles[name].channels
    if not channels:
        return [Entry(name, name)]
    alone = sum(bool(set(other.channels) & set(channels)) for other in roles.values()) == 1
    telling = alone and all(d in dataset.coords and is_text(dataset[d]) for d in channels)
    start = [] if telling else [name]
    labels = [_labels(dataset, dim) for dim in channels]
    places = itertools.product(*(range(len(each)) for each in labels))
    names = ["_".join([*start, *words]) for words in itertools.product(*labels)]
    return [Entry(word, name, place) for word, place in zip(names, places, strict=True)]


def _long_names(dataset: xr.Dataset, name: str, roles: Roles) -> list[str]:
    """Names with the variable's and all labels, also of a level of one, which others leave out."""
    dims = roles.channels or tuple(d for d in roles.dropped if d in dataset.coords)
    labels = [_labels(dataset, dim) for dim in dims]
    return ["_".join([name, *words]) for words in itertools.product(*labels)]


def _labels(dataset: xr.Dataset, dim: str) -> list[str]:
    """What the places along a dimension are called; their numbers where nothing says it."""
    if dim in dataset.coords and dataset[dim].ndim == 1:
        labels = [label_of(value) for value in dataset[dim].to_numpy().tolist()]
        if len(set(labels)) == len(labels):
            return labels
    return [str(place) for place in range(dataset.sizes[dim])]


def _roles_of_all(
    dataset: xr.Dataset, selection: Selection
) -> dict[str, Roles | NoGridError | UnclearError]:
    """What the dimensions of each variable of numbers mean, or why that cannot be said."""
    found: dict[str, Roles | NoGridError | UnclearError] = {}
    for name, variable in dataset.data_vars.items():
        if variable.dtype.kind not in "iufbc":
            continue
        try:
            found[str(name)] = recognise(str(name), axes_of(dataset, str(name)), selection.dims)
        except (NoGridError, UnclearError) as error:
            found[str(name)] = error
    return found


def _all_entries(
    dataset: xr.Dataset,
    found: Mapping[str, Roles | NoGridError | UnclearError],
    known: _Known,
    others: Sequence[str],
    path: Path,
) -> list[Entry]:
    """The channels that are prognostic where none are named."""
    names = sorted(found) if path.is_dir() else list(found)  # a Zarr store keeps no order
    entries: list[Entry] = []
    for name in names:
        roles = found[name]
        if name in others or isinstance(roles, NoGridError):
            continue
        if isinstance(roles, UnclearError):
            raise UserError(f"{path}: {roles}")
        entries += [entry for entry in known[name] if entry.name not in others]
    if entries:
        return entries
    listing = ", ".join(f"{n}{list(v.dims)}" for n, v in dataset.data_vars.items()) or "none"
    raise UserError(
        f"{path} has no variable with a time and two space dimensions. Its variables: {listing}. "
        "Where a name does not tell what a dimension is, say it: --data.dims.time DIMENSION, and "
        "likewise row and column"
    )


def _refusal(
    path: Path, name: str, found: Mapping[str, Roles | NoGridError | UnclearError], dims: Any
) -> UserError:
    """Say why a variable that is there is no channel."""
    reason = found.get(name)
    if reason is None:
        return UserError(f"{path}: {name} holds no numbers, and cannot be a channel")
    if isinstance(reason, NoGridError):
        return UserError(
            f"{path}: {reason}, but {list(map(str, dims))}: fields without time are named with "
            "--data.static, and what a dimension is can be said with --data.dims"
        )
    return UserError(f"{path}: {reason}")


def _unknown(
    dataset: xr.Dataset, known: _Known, absent: Sequence[str], selection: Selection, path: Path
) -> UserError:
    channels = [entry.name for entries in known.of.values() for entry in entries]
    levels = [name for name in channels if name not in dataset.data_vars]
    also = f", with the channels {', '.join(levels)}" if levels else ""
    return UserError(
        f"{path} has no variable {', '.join(absent)}; "
        f"it has {', '.join(map(str, dataset.data_vars))}{also}" + _derived_hint(absent, selection)
    )


def _derived_hint(missing: Sequence[str], selection: Selection) -> str:
    """Say what is derived without a file, where a forcing or static field is missing."""
    for role, known in (("forcings", FORCINGS), ("static", STATIC)):
        for name in missing:
            if name in getattr(selection, role):
                return f". Derived as data.{role} are {', '.join(known)}{nearest(name, [*known])}"
    return ""


def _check_twice(names: Sequence[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UserError(
            f"{', '.join(twice)} is named twice: a variable is one of data.variables, "
            "data.diagnostic, data.forcings, data.static and data.actions"
        )


def _check_dims(dataset: xr.Dataset, selection: Selection, path: Path) -> None:
    """Raise a UserError for a dimension that data.dims names and that is not there."""
    for meaning, dim in selection.dims.items():
        if dim not in dataset.dims:
            raise UserError(
                f"{path} has no dimension {dim}, which data.dims.{meaning} names; it has "
                f"{', '.join(map(str, dataset.dims))}"
            )


def _check_real(dataset: xr.Dataset, names: Iterable[str], path: Path) -> None:
    for name in names:
        if dataset[name].dtype.kind == "c":
            raise UserError(
                f"{path}: {name} holds complex numbers: write its real and its imaginary part, or "
                "its modulus, as variables of their own (xarray: data.real, data.imag), or choose "
                "others with --data.variables"
            )


def _check_shared(roles: Mapping[str, Roles], dataset: xr.Dataset, path: Path) -> None:
    if len({each.shared for each in roles.values()}) > 1:
        raise UserError(
            f"{path}: the variables have different dimensions ("
            + ", ".join(f"{n}{list(dataset[n].dims)}" for n in roles)
            + "): choose some that share them with --data.variables; fields without time are "
            "named with --data.static"
        )
