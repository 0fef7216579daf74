"""Static fields that stand in a file of their own, beside frames on the same grid."""

from dataclasses import replace
from pathlib import Path

from framecast.base.errors import UserError
from framecast.frames.frames import Frames, StaticFields
from framecast.frames.lazy import load
from framecast.frames.units import convert_units
from framecast.readers.differences import same_places
from framecast.readers.file import open_file
from framecast.readers.selection import Selection


def with_constants(frames: Frames, path: Path, selection: Selection) -> Frames:
    """Return frames with the static fields that are selected, read from another file.

    Args:
        frames: as they were read by the selection.
        path: file of fields without time.
        selection: names the fields as static, and what is cut of the grid.

    Raises:
        UserError: if the file does not hold them, or lies on another grid.
    """
    names = selection.static
    alone = Selection(
        variables=names,
        missing=selection.missing,
        region=selection.region,
        coarsen=selection.coarsen,
        northward=selection.northward,
        stamped=True,  # a field without time is a frame
    )
    fields = convert_units(open_file(path, alone), selection.units_of(names))
    if not same_places(frames, fields):
        raise UserError(
            f"{path} lies on another grid than {frames.source}, {fields.grid[0]} × "
            f"{fields.grid[1]} cells beside {frames.grid[0]} × {frames.grid[1]}, or at other "
            "places: static fields need the grid of the frames"
        )
    channels = tuple(replace(channel, role="static") for channel in fields.channels)
    return replace(frames, static=StaticFields(load(fields.values)[0, 0], channels))
