"""What kind of grid frames lie on, and by what evidence."""

from typing import Literal, NamedTuple

import numpy as np

from framecast.frames.channels import Coordinate, is_picture
from framecast.frames.frames import Frames
from framecast.frames.places import find_axis

GridName = Literal["global", "regional", "projected", "pixels", "periodic", "unlabelled"]
LENGTHS = ("m", "km", "metre", "metres", "meter", "meters")
SMOOTH = 1.5
"""A step across the edge that is at most so many times as large as one inside hides no edge."""

AT_POLE, BESIDE_POLE = 0.1, 0.9
"""Steps from a pole up to which a row lies at it, and up to which it is the one next to it."""


class Grid(NamedTuple):
    """A kind of grid.

    Attributes:
        name: global, regional (latitudes and longitudes), projected (lengths), pixels (of a video),
            periodic (what leaves on one side comes in on the other), or unlabelled.
        evidence: why.
        padding: of the network that suits it.
    """

    name: GridName
    evidence: str
    padding: str

    @property
    def around(self) -> tuple[bool, bool]:
        """Whether rows, and columns, go around."""
        return self.name == "periodic", self.name in ("periodic", "global")


def find_grid(frames: Frames) -> Grid:
    """Tell the kind of a grid from its coordinates, else from its values."""
    lat, lon = find_axis(frames, "latitude"), find_axis(frames, "longitude")
    if lat is not None and lon is not None:
        return _on_the_sphere(lat, lon)
    axes = [frames.coordinates.get(dim) for dim in frames.dims[-2:]]
    units = [str(axis.attributes.get("units", "")) for axis in axes if axis is not None]
    if len(units) == 2 and all(unit in LENGTHS for unit in units):
        return Grid("projected", f"coordinates in {units[0]}", "replicate")
    if is_picture(frames.channels):
        return Grid("pixels", "the channels are those of a video", "replicate")
    if _wraps(frames):
        return Grid("periodic", "values go on smoothly across all edges", "circular")
    return Grid("unlabelled", "no coordinates say what it is", "replicate")


def _on_the_sphere(lat: Coordinate, lon: Coordinate) -> Grid:
    east, north = (np.asarray(axis.values, np.float64) for axis in (lon, lat))
    if lon.values.ndim != 1 or lat.values.ndim != 1:
        return Grid("regional", "latitudes and longitudes of each point", "replicate")
    step = abs(float(np.median(np.diff(east)))) if len(east) > 1 else 0.0
    around = step > 0 and len(east) * step > 359
    where = f"latitudes {north.min():g} to {north.max():g}, longitudes {east.min():g} to "
    where += f"{east.max():g}"
    if around:
        return Grid("global", *_at_the_poles(north, len(east), where))
    return Grid("regional", where, "replicate")


def _at_the_poles(north: np.ndarray, columns: int, where: str) -> tuple[str, str]:
    """What is beyond the first and last row of a grid that goes around: evidence and padding."""
    step = abs(float(np.median(np.diff(north)))) if len(north) > 1 else 0.0
    missing = sorted(90 - abs(north[[0, -1]]))
    facing = len(north) > 1 and north[0] * north[-1] < 0 and columns % 2 == 0
    if facing and missing[1] <= AT_POLE * step:
        return f"{where}: all around, with rows at the poles", "sphere_poles"
    if facing and missing[0] > AT_POLE * step and missing[1] <= BESIDE_POLE * step:
        return f"{where}: all around, from pole to pole", "sphere"
    return f"{where}: all around", "cylinder"


def _wraps(frames: Frames) -> bool:
    """Whether the values of the first frames go on across both pairs of edges."""
    if min(frames.grid) < 4:
        return False
    values = frames.values[0, :8].double().nan_to_num(0.0)
    smooth = []
    for dim in (-2, -1):
        inside = values.diff(dim=dim).abs().mean().item()
        across = (values.select(dim, 0) - values.select(dim, -1)).abs().mean().item()
        smooth.append(inside > 0 and across <= SMOOTH * inside)
    return all(smooth)
