"""What the dimensions of a labelled file mean: recognised by evidence, said, or refused."""

import re
import shlex

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.frames.roles import FrameSpec
from framecast.readers import gridded
from framecast.readers.open import read_frames
from framecast.readers.recognise import Axis, NoGridError, UnclearError, meaning_of, recognise
from framecast.readers.selection import Selection

T, H, W = 12, 4, 5
TIMES = np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(6, "h")
VERTICAL = [
    *("level", "lev", "plev", "isobaricInhPa", "pressure", "pressure_level", "height", "depth"),
    *("heightAboveGround", "altitude", "z_t", "deptht", "depthBelowLandLayer", "sigma", "hybrid"),
    *("bottom_top", "soil_layers_stag", "s_rho", "st_ocean", "height_above_ground1", "olevel"),
    *("model_level", "nav_lev", "isobaric3", "p"),
]
MEMBERS = ["member", "number", "realization", "ensemble", "ens", "ensemble_member", "trajectory"]
STARTS = ["init_time", "forecast_reference_time", "initialization_time", "reftime", "start_date"]
LEADS = ["step", "lead_time", "prediction_timedelta", "leadtime", "forecast_period", "lead"]
BANDS = ["band", "channel", "variable", "bands", "wavelength", "ncat", "category"]
GRIDS = [
    *(("lat", "lon"), ("latitude", "longitude"), ("y", "x"), ("south_north", "west_east")),
    *(("nj", "ni"), ("j", "i"), ("rlat", "rlon"), ("yc", "xc"), ("eta_rho", "xi_rho")),
    *(("y_geostationary", "x_geostationary"), ("row", "col"), ("height", "width"), ("Y", "X")),
    *(("lat_rho", "lon_rho"), ("northing", "easting"), ("nlat", "nlon"), ("grid_yt", "grid_xt")),
]


def series(dims, sizes, start=0, **coordinates):
    """A variable z whose values count up, so that every place is known by its value."""
    values = start + np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    coordinates = {"time": TIMES, **coordinates}
    kept = {k: v for k, v in coordinates.items() if isinstance(v, tuple) or k in dims}
    return xr.Dataset({"z": (dims, values, {"units": "m"})}, kept)


def written(tmp_path, data, name="x.nc", **further):
    data.to_netcdf(tmp_path / name, engine="h5netcdf", **further)
    return tmp_path / name


def with_dimension(tmp_path, name, size=3, coordinate=None):
    """A file of (time, NAME, y, x)."""
    further = {} if coordinate is None else {name: coordinate}
    return written(tmp_path, series(("time", name, "y", "x"), (T, size, H, W), **further))


def expected(size=3):
    return torch.arange(T * size * H * W).view(T, size, H, W).float()


def refused(path, message, **settings):
    with pytest.raises(UserError, match=message) as error:
        read_frames(path, **settings)
    assert str(path) in str(error.value)
    return str(error.value)


# Levels and bands are channels


@pytest.mark.parametrize("name", VERTICAL)
def test_vertical_levels_become_channels_named_by_their_values(tmp_path, name):
    frames = read_frames(with_dimension(tmp_path, name, coordinate=[500.0, 850.0, 0.995]))
    assert frames.names == ("z_500", "z_850", "z_0.995")
    assert frames.dims == ("time", "y", "x")
    assert torch.equal(frames.values[0], expected())
    assert [c.units for c in frames.channels] == ["m"] * 3
    assert frames.evidence[name] == "channels (its name)"


@pytest.mark.parametrize("name", VERTICAL)
def test_a_vertical_dimension_of_one_is_dropped_and_its_value_kept(tmp_path, name):
    frames = read_frames(with_dimension(tmp_path, name, 1, coordinate=[2.0]))
    assert frames.names == ("z",)
    assert frames.dims == ("time", "y", "x")
    assert frames.coordinates[name].values == 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"axis": "Z"},
        {"standard_name": "air_pressure"},
        {"standard_name": "ocean_s_coordinate_g2"},
        {"units": "hPa"},
        {"positive": "down"},
    ],
)
def test_attributes_say_that_a_dimension_is_vertical_whatever_its_name(tmp_path, attributes):
    path = with_dimension(tmp_path, "k1", coordinate=("k1", [1.0, 2.0, 3.0], attributes))
    assert read_frames(path).names == ("z_1", "z_2", "z_3")


@pytest.mark.parametrize("name", BANDS)
def test_bands_become_channels_named_by_their_texts_or_numbered(tmp_path, name):
    texts = ("IR_108", "VIS008", "WV 062")
    assert read_frames(with_dimension(tmp_path, name, coordinate=list(texts))).names == texts
    assert read_frames(with_dimension(tmp_path, name)).names == ("z_0", "z_1", "z_2")


def test_texts_that_two_variables_share_do_not_name_channels_alone(tmp_path):
    data = series(("time", "band", "y", "x"), (T, 2, H, W), band=["red", "blue"])
    path = written(tmp_path, data.assign(u=data["z"] + 1))
    assert read_frames(path).names == ("z_red", "z_blue", "u_red", "u_blue")


def test_levels_stand_beside_surface_fields_and_are_asked_for_by_name(tmp_path):
    data = series(("time", "level", "lat", "lon"), (T, 3, H, W), level=[300, 500, 850])
    surface = series(("time", "lat", "lon"), (T, H, W), start=-1000)["z"]
    path = written(tmp_path, data.assign(t2m=surface))
    assert read_frames(path).names == ("z_300", "z_500", "z_850", "t2m")
    frames = read_frames(path, ["z_850", "t2m"], diagnostic=["z_300"])
    assert frames.names == ("z_850", "t2m", "z_300")
    assert [c.role for c in frames.channels] == ["prognostic", "prognostic", "diagnostic"]
    assert torch.equal(frames.values[0, :, 0], expected()[:, 2])
    assert torch.equal(frames.values[0, :, 2], expected()[:, 0])
    assert frames.values[0, 0, 1, 0, 0] == -1000
    message = refused(path, "no variable z_700", variables=["z_700"])
    assert "with the channels z_300, z_500, z_850" in message


def test_several_dimensions_of_channels_name_each_by_all_its_values(tmp_path):
    data = series(
        ("band", "time", "lat", "level", "lon"), (2, T, H, 3, W), band=["a", "b"], level=[1, 2, 3]
    )
    frames = read_frames(written(tmp_path, data))
    assert frames.names == ("a_1", "a_2", "a_3", "b_1", "b_2", "b_3") or frames.names == (
        *("z_a_1", "z_a_2", "z_a_3", "z_b_1", "z_b_2", "z_b_3"),
    )
    raw = data["z"].transpose("time", "band", "level", "lat", "lon").to_numpy()
    assert np.array_equal(frames.values[0].numpy(), raw.reshape(T, 6, H, W))


def test_a_section_has_levels_for_rows(tmp_path):
    frames = read_frames(written(tmp_path, series(("time", "depth", "x"), (T, H, W))))
    assert frames.dims == ("time", "depth", "x")


# Members, and forecasts


@pytest.mark.parametrize("name", MEMBERS)
def test_members_are_sequences_and_keep_their_names(tmp_path, name):
    path = with_dimension(tmp_path, name, coordinate=["r1i1p1f1", "r2i1p1f1", "r3i1p1f1"])
    frames = read_frames(path)
    assert frames.dims == (name, "time", "y", "x")
    assert frames.coordinates[name].values.tolist() == ["r1i1p1f1", "r2i1p1f1", "r3i1p1f1"]
    assert torch.equal(frames.values[:, :, 0], expected().transpose(0, 1))


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("start", [*STARTS, "time"])
def test_each_initialisation_is_a_sequence_with_the_lead_as_its_time(tmp_path, start, lead):
    data = series((start, lead, "lat", "lon"), (T, 3, H, W), **{start: TIMES, lead: [0, 6, 12]})
    frames = read_frames(written(tmp_path, data))
    assert frames.dims == (start, lead, "lat", "lon")
    assert frames.values.shape == (T, 3, 1, H, W)
    assert frames.times.tolist() == [0, 6, 12]
    assert (frames.coordinates[start].values == TIMES).all()


def test_durations_are_leads_whatever_their_name(tmp_path):
    ahead = (np.arange(3) * np.timedelta64(6, "h")).astype("timedelta64[ns]")
    data = series(("time", "n", "lat", "lon"), (T, 3, H, W), n=ahead)
    assert read_frames(written(tmp_path, data)).dims == ("time", "n", "lat", "lon")


def test_a_lead_of_one_leaves_the_times_as_they_are(tmp_path):
    frames = read_frames(with_dimension(tmp_path, "step", 1, coordinate=[6]))
    assert frames.dims == ("time", "y", "x")


def test_one_initialisation_alone_is_a_series(tmp_path):
    data = series(("init_time", "lead", "lat", "lon"), (1, 3, H, W), init_time=TIMES[:1])
    assert read_frames(written(tmp_path, data)).dims == ("lead", "lat", "lon")


@pytest.mark.parametrize("lazily", [False, True])
def test_members_of_initialisations_are_all_sequences(tmp_path, monkeypatch, lazily):
    if lazily:
        monkeypatch.setattr(gridded, "HELD", 0)
    data = series(
        ("init_time", "member", "lead", "level", "lat", "lon"),
        (2, 3, 6, 2, H, W),
        init_time=TIMES[:2],
        level=[500, 850],
    )
    frames = read_frames(written(tmp_path, data))
    assert frames.dims == ("sequence", "lead", "lat", "lon")
    assert frames.names == ("z_500", "z_850")
    assert (frames.coordinates["init_time"].values == np.repeat(TIMES[:2], 3)).all()
    raw = torch.from_numpy(data["z"].to_numpy().reshape(6, 6, 2, H, W))
    assert torch.equal(frames.load().values, raw)
    assert torch.equal(frames.values[4, 2:5], raw[4, 2:5])


# Space and time


@pytest.mark.parametrize(("row", "column"), GRIDS)
def test_rows_and_columns_are_known_in_any_order(tmp_path, row, column):
    data = series((column, "time", row), (W, T, H))
    frames = read_frames(written(tmp_path, data))
    assert frames.dims == ("time", row, column)
    assert np.array_equal(frames.values[0, :, 0].numpy(), data["z"].to_numpy().transpose(1, 2, 0))


@pytest.mark.parametrize("name", ["north", "standard"])
def test_units_and_standard_names_count_more_than_names(tmp_path, name):
    attributes = {
        "north": ({"units": "degrees_north"}, {"units": "degrees_east"}),
        "standard": ({"standard_name": "latitude"}, {"standard_name": "longitude"}),
    }[name]
    data = series(
        ("time", "x", "y"),
        (T, H, W),
        x=("x", np.arange(H), attributes[0]),
        y=("y", np.arange(W), attributes[1]),
    )
    assert read_frames(written(tmp_path, data)).dims == ("time", "x", "y")


def test_height_and_width_are_rows_and_columns_only_together(tmp_path):
    pictures = series(("time", "channel", "height", "width"), (T, 3, H, W))
    assert read_frames(written(tmp_path, pictures)).dims == ("time", "height", "width")
    heights = series(("time", "height", "lat", "lon"), (T, 3, H, W))
    frames = read_frames(written(tmp_path, heights, "y.nc"))
    assert frames.dims == ("time", "lat", "lon")
    assert len(frames.names) == 3


@pytest.mark.parametrize("name", ["timestep", "time_index", "n", "record"])
def test_a_dimension_whose_coordinate_is_a_date_is_time(tmp_path, name):
    data = series((name, "y", "x"), (T, H, W), **{name: TIMES})
    assert read_frames(written(tmp_path, data)).dims == (name, "y", "x")


def test_a_file_without_a_time_is_refused(tmp_path):
    data = series(("band", "y", "x"), (40, H, W), band=np.arange(40))
    message = refused(written(tmp_path, data), "no variable with a time")
    assert "--data.dims.time" in message


# What is unclear, and how to say it


def unclear(tmp_path):
    return with_dimension(tmp_path, "foo", coordinate=[10.0, 20.0, 30.0])


def test_an_unknown_dimension_is_refused_with_the_settings_that_decide(tmp_path):
    message = refused(unclear(tmp_path), "the dimension foo of z .3 long. means cannot be told")
    for setting in ("data.dims.sequence foo", "data.dims.channel foo", "data.select"):
        assert setting in message


def test_what_the_user_says_decides(tmp_path):
    path = unclear(tmp_path)
    sequences = read_frames(path, dims={"sequence": "foo"})
    assert torch.equal(sequences.values[:, :, 0], expected().transpose(0, 1))
    channels = read_frames(path, dims={"channel": "foo"})
    assert channels.names == ("z_10", "z_20", "z_30")
    turned = read_frames(path, dims={"time": "foo", "sequence": "time"})
    assert turned.dims == ("time", "foo", "y", "x")
    swapped = read_frames(path, dims={"row": "x", "column": "y", "channel": "foo"})
    assert swapped.dims == ("time", "x", "y")
    assert torch.equal(swapped.values, channels.values.mT)
    refused(path, "no dimension bar, which data.dims.sequence names", dims={"sequence": "bar"})


def test_one_level_or_several_are_chosen(tmp_path):
    path = with_dimension(tmp_path, "level", coordinate=[300, 500, 850])
    two = read_frames(path, select={"level": [850, 500]})
    assert two.names == ("z_850", "z_500")
    assert torch.equal(two.values[0], expected()[:, [2, 1]])
    one = read_frames(path, select={"level": 500})
    assert one.names == ("z",)
    assert torch.equal(one.values[0, :, 0], expected()[:, 1])
    assert one.coordinates["level"].values == 500
    refused(path, "level has no value 700.*300, 500, 850", select={"level": 700})
    refused(path, "no dimension lev, of which data.select chooses", select={"lev": 500})


def test_places_members_and_rounded_values_are_chosen(tmp_path):
    assert torch.equal(
        read_frames(with_dimension(tmp_path, "foo"), select={"foo": 2}).values[0, :, 0],
        expected()[:, 2],
    )
    path = with_dimension(tmp_path, "member", coordinate=["a", "b", "c"])
    chosen = read_frames(path, select={"member": ["c", "a"]})
    assert chosen.coordinates["member"].values.tolist() == ["c", "a"]
    path = with_dimension(tmp_path, "sigma", coordinate=np.float32([0.1, 0.2, 0.3]))
    assert read_frames(path, select={"sigma": 0.2}).names == ("z",)


def test_dimensions_that_look_alike_are_refused(tmp_path):
    two = series(("time", "lat", "y", "lon"), (T, 3, H, W))
    refused(written(tmp_path, two), "several dimensions that look like rows, lat and y")
    times = series(("time", "date", "y", "x"), (T, 3, H, W), date=TIMES[:3])
    refused(written(tmp_path, times, "t.nc"), "several dimensions of time, time and date")
    bare = series(("time", "a", "b", "c"), (T, 3, H, W))
    refused(written(tmp_path, bare, "b.nc"), "a, b, c beside time, and nothing says which")


def test_variables_that_are_left_out_need_no_meaning(tmp_path):
    data = series(("time", "y", "x"), (T, H, W))
    odd = series(("time", "foo", "y", "x"), (T, 3, H, W))["z"]
    path = written(tmp_path, data.assign(odd=odd))
    refused(path, "the dimension foo of odd")
    assert read_frames(path, ["z"]).names == ("z",)


def test_versions_of_one_series_are_merged(tmp_path):
    data = series(("time", "expver", "lat", "lon"), (T, 2, H, W), expver=[1, 5])
    data["z"][:8, 1] = np.nan
    data["z"][8:, 0] = np.nan
    frames = read_frames(written(tmp_path, data))
    assert frames.names == ("z",)
    assert torch.equal(frames.values[0, :8, 0], expected(2)[:8, 0])
    assert torch.equal(frames.values[0, 8:, 0], expected(2)[8:, 1])


def test_meanings_need_no_file():
    axes = [Axis("time", 9), Axis("lat", 4), Axis("lon", 5)]
    assert recognise("z", axes).shared == ("time", "lat", "lon")
    assert meaning_of(Axis("foo", 9)) is None
    assert meaning_of(Axis("foo", 9, "dates")) == ("time", "its dates")
    with pytest.raises(NoGridError, match="no dimension of time"):
        recognise("z", axes[1:])
    with pytest.raises(NoGridError, match="no two dimensions of space"):
        recognise("z", axes[:2])
    with pytest.raises(UnclearError):
        recognise("z", [*axes, Axis("foo", 2)])


# Through a whole run


def command(words, *paths):
    assert main([*shlex.split(words), *map(str, paths)]) == 0


SMALL = (
    "--model.depth 1 --model.hidden 4 --training.epochs 1 --training.context 2 "
    "--training.horizon 1 --training.precision 32"
)


def trained(tmp_path, path, options):
    command(f"train starter --data.path {path} {options} {SMALL} --out {tmp_path}/run")
    command(f"forecast {tmp_path}/run {path} --steps 2 --out {tmp_path}/forecast.nc")
    command(f"evaluate {tmp_path}/run --out {tmp_path}/own")
    command(f"evaluate {tmp_path}/run --data {path} --out {tmp_path}/all")
    return xr.load_dataset(tmp_path / "forecast.nc", engine="h5netcdf", decode_timedelta=False)


def random(data):
    values = np.random.default_rng(0).normal(size=data["z"].shape)
    return data.assign(z=(data["z"].dims, values))


def test_a_run_reads_every_file_as_its_training_file(tmp_path):
    data = random(series(("time", "foo", "level", "y", "x"), (T, 2, 3, H, W), level=[1, 2, 3]))
    options = "--data.dims.sequence foo --data.select.level '[3, 1]' --data.validation_fraction 0"
    path = written(tmp_path, data.isel(foo=[0, 0, 1, 1, 0, 1]))
    forecast = trained(tmp_path, path, options + " --data.test_fraction 0.5")
    assert set(forecast.data_vars) == {"z_3", "z_1"}
    assert forecast["z_1"].dims == ("foo", "time", "y", "x")
    assert (forecast["time"].to_numpy() > TIMES[-1]).all()


def test_forecasts_of_forecasts_continue_the_lead(tmp_path):
    data = random(series(("time", "step", "y", "x"), (T, 6, H, W), step=("step", np.arange(6) * 6)))
    data["step"].attrs["units"] = "hours"
    forecast = trained(tmp_path, written(tmp_path, data), "")
    assert forecast["step"].to_numpy().tolist() == [36, 42]
    assert (forecast["time"].to_numpy() == TIMES).all()


def test_what_forecast_writes_is_read_again(tmp_path):
    data = random(series(("time", "level", "y", "x"), (T, 2, H, W), level=[500, 850]))
    path = written(tmp_path, data)
    trained(tmp_path, path, "--data.validation_fraction 0 --data.test_fraction 0.3")
    run = f"{tmp_path}/run"
    command(f"forecast {run} {tmp_path}/forecast.nc --steps 1 --out {tmp_path}/two.nc")
    command(f"forecast {run} {path} --steps 3 --start -1 -3 -5 --out {tmp_path}/starts.nc")
    several = read_frames(tmp_path / "starts.nc")
    assert several.dims == ("start", "lead_time", "y", "x")
    assert several.times.astype("timedelta64[h]").astype(int).tolist() == [6, 12, 18]


def test_inspect_says_what_was_recognised_and_proposes_the_same_reading(tmp_path, capsys):
    path = with_dimension(tmp_path, "level", coordinate=[300, 500, 850])
    command(f"inspect {path} --data.select.level '[300, 500]' --data.dims.row y")
    said = capsys.readouterr().out
    assert (
        "time is time (its dates); y is rows (data.dims); x is columns (its name); level is" in said
    )
    assert "level is channels (its name)" in said
    assert "z_500 [m]" in said
    assert "z_850" not in said
    assert "--data.select.level '[300, 500]' --data.dims.row y" in said


def test_settings_of_another_kind_of_file_are_refused_in_training(tmp_path):
    path = str(with_dimension(tmp_path, "level", coordinate=[1, 2, 3]))
    with pytest.raises(UserError, match=r"data\.layout is for arrays without names"):
        DataConfig(path=path, layout="tchw").open().splits()
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, H, W)))
    for setting in ({"dims": {"time": "time"}}, {"select": {"level": 1}}):
        with pytest.raises(UserError, match="has no names of dimensions"):
            DataConfig(path=str(tmp_path / "x.npy"), **setting).open().splits()


def test_settings_are_stored_in_the_checkpoint_and_checked(tmp_path):
    config = DataConfig(dims={"sequence": "foo"}, select={"level": 500})
    spec = FrameSpec((), (H, W), "1", dims=config.dims, select=config.select)
    assert Selection.of(spec).dims == {"sequence": "foo"}
    assert Selection.of(spec).select == {"level": 500}
    with pytest.raises(ValueError, match=re.escape("dims.rows is none of time, row")):
        DataConfig(dims={"rows": "y"})
