"""What stands beside the variables of several files, and the period that is read."""

import numpy as np
import pytest
import xarray as xr

from framecast.base.errors import UserError
from framecast.readers.open import read_frames

LAND = np.array([[0, 1, np.nan, 1]] * 4, np.float32)


def write(folder, day, *, land=None, actions=None, fields=("t",)):
    time = np.datetime64("2000-01-01", "ns") + np.arange(4 * day, 4 * day + 4) * np.timedelta64(
        1, "D"
    )
    random = np.random.default_rng(day)
    data = {name: (("time", "lat", "lon"), random.random((4, 4, 4))) for name in fields}
    data |= {} if land is None else {"land": (("lat", "lon"), land)}
    data |= {} if actions is None else {"act": (("time",), np.array(actions))}
    lat = ("lat", np.arange(4.0), {"units": "degrees_north"})
    dataset = xr.Dataset(data, {"time": time, "lat": lat, "lon": np.arange(4.0)})
    path = folder / f"{day}.nc"
    dataset.to_netcdf(path, engine="h5netcdf")
    return path


def test_the_same_static_field_with_gaps_is_the_same(tmp_path):
    paths = [write(tmp_path, day, land=LAND) for day in range(2)]
    frames = read_frames(paths, ["t"], static=["land"])
    np.testing.assert_array_equal(frames.static.values[0], LAND)
    paths[1] = write(tmp_path, 1, land=LAND + 1)
    with pytest.raises(UserError, match="static fields have other values"):
        read_frames(paths, ["t"], static=["land"])


@pytest.mark.parametrize("asked", [{"static": ["lnad"]}, {"actions": "atc"}])
def test_what_no_file_has_is_named(tmp_path, asked):
    paths = [write(tmp_path, day, land=LAND, actions=[0, 1, 0, 1]) for day in range(2)]
    with pytest.raises(UserError, match=r"not every file of variables has (lnad|atc)"):
        read_frames(paths, ["t"], **asked)


def test_a_static_field_in_some_of_the_files_is_not_left_out(tmp_path):
    paths = [write(tmp_path, 0), write(tmp_path, 1, land=LAND)]
    with pytest.raises(UserError, match="land"):
        read_frames(paths, ["t"], static=["land"])


def test_files_may_hold_fewer_of_the_numbered_actions(tmp_path):
    paths = [write(tmp_path, 0, actions=[0, 1, 0, 1]), write(tmp_path, 1, actions=[2, 0, 1, 2])]
    actions = read_frames(paths, ["t"], actions="act").actions
    assert actions.argmax(-1).tolist() == [[0, 1, 0, 1, 2, 0, 1, 2]]


@pytest.mark.parametrize("end", [20000101, "2000-1-3", "2000/01/03", "2000-01-03T00:00:00Z"])
def test_an_end_of_a_period_that_is_no_date_is_refused(tmp_path, end):
    with pytest.raises(UserError, match=r"data\.period: .* is no date as 2000-01-31T12:00"):
        read_frames(write(tmp_path, 0), period=(end, None))


@pytest.mark.parametrize("end", ["2000-01-03", "2000-01-03 00:00", "2000-01-03T00"])
def test_an_end_of_a_period_may_be_a_part_of_a_date(tmp_path, end):
    assert read_frames(write(tmp_path, 0), period=(end, 2000)).length == 2
