"""Values in other units than those of the source."""

import sys

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.frames.units import convert_units
from framecast.readers.open import read_frames

DIMS = ("time", "y", "x")


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    t = rng.uniform(250, 300, (6, 3, 4)).astype("f4")
    said = {"units": "K", "valid_range": np.array([173.15, 373.15])}
    xr.Dataset(
        {
            "t": (DIMS, t, said),
            "p": (DIMS, t * 10, {"units": "hPa"}),
            "bare": (DIMS, t),
            "z": (("y", "x"), t[0], {"units": "m"}),
            "dbz": (DIMS, t, {"units": "lg(re 1 mW)"}),
        }
    ).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    return tmp_path / "x.nc"


@pytest.mark.parametrize("lazy", [False, True])
def test_values_and_the_range_that_is_declared_are_converted(path, lazy):
    names = {"variables": ["t", "p"], "static": ["z"], "lazy": lazy}
    was = read_frames(path, **names)
    frames = read_frames(path, **names, units={"t": "degC", "z": "km"})
    assert frames.channels[0].units == "degC"
    assert frames.channels[0].valid_range == pytest.approx((-100, 100))
    assert torch.allclose(frames.values[0, :][:, 0], was.values[0, :][:, 0] - 273.15, atol=2e-5)
    assert torch.equal(frames.values[0, :][:, 1], was.values[0, :][:, 1])
    assert torch.allclose(frames.static.values, was.static.values / 1000)
    assert frames.static.channels[0].units == "km"


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ({"q": "g"}, "data.units names q, but what is read is t, p, bare, dbz"),
        ({"bare": "K"}, "does not say what its units are"),
        ({"t": "m"}, "t is in K, which cannot be converted to m"),
        ({"t": "parsecs per jiffy"}, "cannot be converted"),
        ({"dbz": "W"}, "no straight line"),
    ],
)
def test_what_cannot_be_converted_is_refused(path, units, words):
    frames = read_frames(path, variables=["t", "p", "bare", "dbz"])
    with pytest.raises(UserError, match=words):
        convert_units(frames, units)


def test_the_extra_is_named_where_it_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cf_units", None)
    with pytest.raises(UserError, match=r"pip install 'framecast\[units\]'"):
        read_frames(path, variables=["t"], units={"t": "degC"})
