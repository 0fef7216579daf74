"""Files of one frame whose time is a coordinate without a dimension, or stands in their name."""

import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.readers import moment
from framecast.readers.open import read_frames

FIELD = np.arange(20, dtype=np.float32).reshape(4, 5)
DAY = np.timedelta64(1, "D")


def write(folder, day, name=None, **dates):
    """A field of a day, without a dimension of time."""
    dates = dates or {"time": np.datetime64("2020-01-01", "ns") + day * DAY}
    dataset = xr.Dataset(
        {"t": (("lat", "lon"), FIELD + day, {"units": "K"}), "crs": ((), 0, {"x": 1})},
        {"lat": np.linspace(60, 30, 4), "lon": np.linspace(0, 40, 5), **dates},
    )
    path = folder / (name or f"{9 - day}.nc")
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("lazy", [False, True])
def test_files_are_joined_by_their_dates(tmp_path, lazy):
    for day in range(4):
        write(tmp_path, day)
    frames = read_frames(tmp_path, lazy=lazy)
    assert frames.names == ("t",)
    assert str(frames.step) == "24 h"
    assert frames.times[0] == np.datetime64("2020-01-01")
    expected = FIELD + np.arange(4)[:, None, None]
    np.testing.assert_array_equal(frames.values[0, :][:, 0].numpy(), expected)
    assert frames.channels[0].units == "K"


def test_a_series_is_opened_without_reading_its_frames(tmp_path, monkeypatch):
    for day in range(40):
        write(tmp_path, day)
    read, values_of = [], moment.values_of
    monkeypatch.setattr(
        moment, "values_of", lambda field, path: read.append(path) or values_of(field, path)
    )
    frames = read_frames(tmp_path, lazy=True)
    assert read == []
    assert frames.values[0, 20:23][:, 0, 0, 0].tolist() == [20, 21, 22]
    assert read == [tmp_path / f"{9 - day}.nc" for day in range(20, 23)]


def test_one_file_is_a_frame(tmp_path):
    frames = read_frames(write(tmp_path, 2))
    assert frames.length == 1
    assert frames.times[0] == np.datetime64("2020-01-03")
    assert frames.dims == ("time", "lat", "lon")


def test_of_several_dates_the_one_that_is_called_time_counts(tmp_path):
    day = np.datetime64("2020-01-05", "ns")
    path = write(tmp_path, 1, reference=day - DAY, time=day)
    assert read_frames(path).times[0] == day
    path = write(tmp_path, 2, made=day, changed=day)
    with pytest.raises(UserError, match=r"several dates: (made, changed|changed, made)\. Leave"):
        read_frames(path)


def test_times_in_names_are_those_of_files_without_any(tmp_path):
    for day in range(4):
        write(tmp_path, day, f"t_2020030{day + 1}.nc", height=2.0)
    frames = read_frames(tmp_path, times_from="%Y%m%d")
    assert frames.times[0] == np.datetime64("2020-03-01")
    assert str(frames.step) == "24 h"
    assert frames.values[0, 3, 0, 0, 0] == 3


def test_a_field_without_any_time_is_refused(tmp_path):
    with pytest.raises(UserError, match="no variable with a time and two space dimensions"):
        read_frames(write(tmp_path, 0, height=2.0))
