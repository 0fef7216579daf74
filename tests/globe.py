"""Forecasters of a small globe that read all that a forecaster can: roles, gaps, actions, dates."""

import numpy as np
import torch

from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import forecast_frames
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.formulas import forcing_fields, static_fields
from framecast.frames.frames import Frames, StaticFields
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.spec import Ports
from framecast.runs.checkpoint import Checkpoint

CONTEXT, STEPS = 4, 6
GRID = (6, 8)
LENGTH = CONTEXT + STEPS
LATITUDE, LONGITUDE = np.linspace(75, -75, GRID[0]), np.arange(GRID[1]) * 45.0
TIMES = np.datetime64("2020-02-27", "ns") + np.arange(LENGTH) * np.timedelta64(6, "h")
PLACES = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")


def frames_of(names, gaps=False, **further):
    """Frames every six hours on a globe: random numbers about the mean of each variable."""
    random = np.random.default_rng(5)
    values = 10 + 3 * random.standard_normal((1, LENGTH, len(names), *GRID))
    if gaps:
        values[random.random(values.shape) < 0.2] = np.nan
        values[:, :, 0, 2, 3] = np.nan
    roles = {"rain": "diagnostic", "wind": "forcing"}
    return Frames(
        torch.from_numpy(values.astype(np.float32)),
        tuple(Channel(name, {"units": "m"}, roles.get(name, "prognostic")) for name in names),
        ("time", "lat", "lon"),
        {
            "time": Coordinate(("time",), TIMES),
            "lat": Coordinate(("lat",), LATITUDE, {"units": "degrees_north"}),
            "lon": Coordinate(("lon",), LONGITUDE, {"units": "degrees_east"}),
        },
        **further,
    )


def checkpoint_of(frames, settings=None, **model):
    """An untrained forecaster that reads such frames."""
    spec = FrameSpec.of(frames, **(settings or {}))
    config = ForecasterConfig(**{"layer": "min_conv_gru", "depth": 2, "hidden": 4} | model)
    torch.manual_seed(0)
    network = Forecaster(config, Ports.of(spec), GRID).eval()
    return Checkpoint(network, Statistics.of(frames), spec, CONTEXT, STEPS, 1, 0.5)


def expected(checkpoint, frames):
    """The frames at lead 1 to STEPS, as framecast forecasts them."""
    looks = forecast_frames(
        Predictor(checkpoint, "cpu"), frames, STEPS, starts=(CONTEXT - 1,), context=CONTEXT
    )
    return torch.stack([frame[:, 0] for frame in looks], dim=1)


def beside(checkpoint, frames, first, last):
    """What programs read beside frames first to last - 1, by name, with a dimension of time."""
    spec, values = checkpoint.frames, {}
    if forcings := spec.of_role("forcing"):
        chosen = [frames.names.index(c.name) for c in forcings]
        values["forcings"] = frames.values[:, first : last + 1, chosen]
    fields = [forcing_fields(name, TIMES[first : last + 1], *PLACES) for name in spec.derived]
    if fields:
        whole = [np.broadcast_to(f, (*f.shape[:2], *GRID)) for f in fields]
        values["derived_forcings"] = torch.from_numpy(np.concatenate(whole, 1)).float()[None]
    if spec.static:
        values["static"] = frames.static.values
    if spec.derived_static:
        fields = [static_fields(name, *PLACES) for name in spec.derived_static]
        values["derived_static"] = torch.from_numpy(np.concatenate(fields)).float()
    if spec.actions:
        values["actions"] = frames.actions[:, first:last]
    return values


def all_roles():
    """Frames with gaps and all roles, and a forecaster that reads them, with bounds."""
    random = torch.Generator().manual_seed(2)
    relief = torch.rand(1, *GRID, generator=random) * 900
    frames = frames_of(
        ["u", "v", "rain", "wind"],
        gaps=True,
        static=StaticFields(relief, (Channel("relief", role="static"),)),
        actions=torch.rand(1, LENGTH, 3, generator=random),
    )
    settings = {
        "flagged": ("u", "wind"),
        "derived": ("time_of_day", "insolation"),
        "derived_static": ("latitude", "grid_spacing"),
        "bounds": {"rain": (9.9, None), "v": (None, 10.1)},
    }
    return frames, checkpoint_of(frames, settings)
