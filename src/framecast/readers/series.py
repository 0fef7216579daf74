"""Many files that are one series: opened one after the other, and then where they are read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from framecast.base.errors import UserError
from framecast.base.progress import track
from framecast.frames.frames import Frames
from framecast.frames.lazy import held
from framecast.readers.differences import check_alike
from framecast.readers.file import names_in
from framecast.readers.joins import choose_channels, join_channels, join_sequences, join_times
from framecast.readers.opened import OpenFiles
from framecast.readers.paths import name_of
from framecast.readers.selection import Selection
from framecast.readers.stamps import say_guessed, stamps_of

MANY = 50
"""Files from which on their opening has a progress bar."""


def read_series(paths: Sequence[Path], selection: Selection, source: str) -> Frames:
    """Read files that belong together as one series.

    Files with the same variables follow one another in time (`data.join time`), in the order of
    their times, or are sequences beside one another (`data.join sequences`). Files with different
    variables give one frame the channels of all, at the times that all have.

    Args:
        paths: at least two files.
        selection: what is read of them together.
        source: what messages call them.

    Raises:
        UserError: if one cannot be read, does not fit the others, or holds times of another.
    """
    stamps = stamps_of(paths, selection.times_from)
    opened, narrowed = OpenFiles(stamps), _narrowed(paths, selection)
    each = track(list(narrowed.items()), "open files", len(narrowed), len(narrowed) > MANY)
    parts = [_as_asked(opened.header(path, part), path, selection) for path, part in each]
    say_guessed(parts[0], stamps, source)
    if any(part.time_dim not in part.coordinates for part in parts):
        check_alike(parts, sequences=False)  # nothing says which frames belong together
    groups = _by_variables(parts)
    if selection.join == "sequences" and len(groups) > 1:
        raise UserError(
            f"{source}: {groups[0][0].source} and {groups[1][0].source} have different variables, "
            "so that they cannot be sequences of one data set (data.join sequences)"
        )
    if len(groups) == 1:
        joined = _join(groups[0], selection, source)
    else:
        joined = join_channels([part for group in groups for part in _apart(group)], source)
    if len(groups) > 1 or any(part != selection for part in narrowed.values()):
        joined = _in_roles(joined, selection)
    _check_complete(joined, selection, source)
    values = joined.values if selection.lazy else held(joined.values)
    return replace(joined, values=values, source=source)


def _check_complete(joined: Frames, selection: Selection, source: str) -> None:
    """Refuse a series that lacks static fields or actions that were asked for."""
    static = () if joined.static is None else joined.static.channels
    missing = [name for name in selection.static if name not in {c.name for c in static}]
    if selection.actions is not None and joined.actions is None:
        missing.append(selection.actions)
    if missing:
        raise UserError(
            f"{source}: not every file of variables has {', '.join(missing)}: static fields and "
            "actions are read beside the variables, of each of the files. See whether the name is "
            "right, and write them into all of them"
        )


def _join(parts: Sequence[Frames], selection: Selection, source: str) -> Frames:
    """Files with the same variables: one after the other, or each a sequence."""
    if len(parts) == 1:
        return parts[0]
    if selection.join == "sequences":
        return join_sequences(parts, [Path(part.source).stem for part in parts], source)
    if selection.join is None and parts[0].time_dim not in parts[0].coordinates:
        raise UserError(
            f"{source}: the files have no times, and their names have none that are clear: set "
            "data.times_from to their pattern, such as '%Y%m%d_%H%M'; data.join time if they "
            "follow one another in the order of their names; or data.join sequences if each is a "
            "series of its own"
        )
    return join_times(parts, source)


def _narrowed(paths: Sequence[Path], selection: Selection) -> dict[Path, Selection]:
    """What is read of each file: all that is asked for, or what it holds of it."""
    asked = (*(selection.variables or ()), *selection.others)
    first = names_in(paths[0], selection) if asked else None
    if first is None or all(_variable(name, first, paths[0], paths) for name in asked):
        return dict.fromkeys(paths, selection)
    found = {path: _part_of(path, selection, paths) for path in paths}
    if not any(part.variables != () for part in found.values()):
        raise UserError(f"none of the files {name_of(paths)} has {', '.join(asked)}")
    return {path: part for path, part in found.items() if part.variables != ()}


def _part_of(path: Path, selection: Selection, paths: Sequence[Path]) -> Selection:
    """What is read of a file that holds some of the variables; their roles come later."""
    names = names_in(path, selection) or ()
    changing = (*(selection.variables or ()), *selection.diagnostic, *selection.forcings)
    own = [_variable(name, names, path, paths) for name in changing]
    actions = selection.actions if selection.actions in names else None
    return replace(
        selection,
        variables=tuple(dict.fromkeys(n for n in own if n)) if selection.variables else None,
        diagnostic=(),
        forcings=(),
        static=tuple(name for name in selection.static if name in names),
        actions=actions,
        action_shift=selection.action_shift if actions else 0,
    )


def _variable(name: str, names: Sequence[str], path: Path, paths: Sequence[Path]) -> str | None:
    """What a name stands for in a file: a variable, one that its file tells apart, or a level."""
    if name in names:
        return name
    if (without := name.removesuffix(f"_{path.stem}")) in names:
        return without
    if any(name.endswith(f"_{other.stem}") for other in paths):
        return None
    return name if any(name.startswith(f"{own}_") for own in names) else None


def _as_asked(part: Frames, path: Path, selection: Selection) -> Frames:
    """The frames of a file, whose variables are called as they are where files tell them apart."""
    asked = (*(selection.variables or ()), *selection.others)
    longer = {c.name: f"{c.name}_{path.stem}" for c in part.channels if c.name not in asked}
    return replace(
        part,
        channels=tuple(
            replace(c, name=longer[c.name]) if longer.get(c.name) in asked else c
            for c in part.channels
        ),
    )


def _by_variables(parts: Sequence[Frames]) -> list[list[Frames]]:
    """Parts with the same variables together; those that have only some in common are refused."""
    groups: dict[frozenset[str], list[Frames]] = {}
    for part in parts:
        names = frozenset(part.names)
        for others, group in groups.items():
            if names != others and names & others:
                odd = sorted(names ^ others)[0]
                has, lacks = (part, group[0]) if odd in names else (group[0], part)
                raise UserError(
                    f"{lacks.source} has no {odd}, which {has.source} has: name the variables that "
                    "all files share with data.variables, or the files that are alike"
                )
        groups.setdefault(names, []).append(part)
    return list(groups.values())


def _apart(parts: Sequence[Frames]) -> list[Frames]:
    """Files with the same variables: one after the other, or told apart where times are the same.

    Wind in two files, at the ground and at 500 hPa, may have one name in both. The name of the file
    is then added to that of the variable.
    """
    if len(parts) == 1:
        return list(parts)
    if any(not np.array_equal(part.times, parts[0].times) for part in parts):
        return [join_times(parts, parts[0].source)]
    return [
        replace(
            part,
            channels=tuple(
                replace(c, name=f"{c.name}_{Path(part.source).stem}") for c in part.channels
            ),
        )
        for part in parts
    ]


def _in_roles(frames: Frames, selection: Selection) -> Frames:
    """Channels that are asked for, in their order and with their roles; all where none is named."""
    others = (*selection.diagnostic, *selection.forcings)
    first = selection.variables or [name for name in frames.names if name not in others]
    names = [*first, *others]
    if missing := [name for name in names if name not in frames.names]:
        raise UserError(
            f"{frames.source} has no variable {', '.join(missing)}; its files have "
            f"{', '.join(frames.names)}"
        )
    chosen = choose_channels(frames, names)
    channels = tuple(replace(c, role=selection.role(c.name)) for c in chosen.channels)
    return replace(chosen, channels=channels)
