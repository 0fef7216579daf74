"""What the data doctor proposes fits the data, and works."""

import re
import shlex

import numpy as np
import pytest
import xarray as xr
import yaml
from PIL import Image

from conftest import DATA
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.doctor import examine, propose
from framecast.doctor import speed as module
from framecast.doctor.speed import fit_to_time
from framecast.doctor.windows import _crops
from framecast.frames.windows import check_length
from mutations import SEEDS
from small import travelling_wave
from videos import folder_of_videos

AIR = DATA / "air_temperature_small.nc"
QUICK = ["--model.depth", "1", "--model.hidden", "2", "--training.epochs", "1"]


def proposal_of(path, given=None, **data):
    findings = examine(DataConfig(path=str(path), **data))
    return propose(findings, given or {})


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("length", [*range(3, 40), 97, 200])
def test_windows_fit_into_the_parts_of_a_series_of_any_length(tmp_path, length):
    np.save(tmp_path / "f.npy", np.random.default_rng(0).random((length, 3, 4)))
    experiment = proposal_of(tmp_path / "f.npy").experiment()
    window = experiment.training.window
    parts = experiment.data.open().splits()
    for part in filter(None, parts):
        check_length(part, window)
    assert (parts.validation is not None) == (length >= 6)
    assert window == 15 or length < 160


@pytest.mark.parametrize(("context", "horizon"), [(3, 1), (5, 3), (6, 2)])
def test_parts_hold_the_window_that_the_user_wants(tmp_path, context, horizon):
    np.save(tmp_path / "f.npy", np.random.default_rng(0).random((24, 3, 4)))
    given = {"training.context": str(context), "training.horizon": str(horizon)}
    experiment = proposal_of(tmp_path / "f.npy", given).experiment()
    assert experiment.training.window == context + horizon
    for part in experiment.data.open().splits():
        check_length(part, context + horizon)


@pytest.mark.parametrize("sequences", [1, 2, 3, 5, 12])
def test_sequences_are_divided_so_that_no_part_is_empty(tmp_path, sequences):
    np.save(tmp_path / "f.npy", travelling_wave(sequences, 16)[:, :, 0:1])
    experiment = proposal_of(tmp_path / "f.npy", given={}).experiment()
    parts = experiment.data.open().splits()
    assert (parts.test is not None) == (sequences == 1 or sequences >= 3)


def test_what_the_user_sets_counts(tmp_path):
    np.save(tmp_path / "f.npy", np.random.default_rng(0).random((60, 3, 4)))
    given = {"training.context": "3", "training.batch_size": "2", "model.hidden": "7"}
    proposal = proposal_of(tmp_path / "f.npy", given)
    training, model = proposal.experiment().training, proposal.experiment().model
    assert (training.context, training.batch_size, model.hidden) == (3, 2, 7)
    assert not set(given) & set(proposal.choices)


def test_channels_that_never_change_are_left_out_with_a_reason(tmp_path):
    values = np.random.default_rng(0).random((20, 4, 5)).astype(np.float32)
    dims = ("time", "y", "x")
    data = {"t": (dims, values), "land": (dims, values[:1].repeat(20, 0))}
    xr.Dataset(data).to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    choice = proposal_of(tmp_path / "f.nc").choices["data.variables"]
    assert choice.value == ["t"]
    assert choice.why == "land never changes in time"


GLOBE = {
    "time": np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(6, "h"),
    "lat": ("lat", [60.0, 0, -60], {"units": "degrees_north"}),
    "lon": ("lon", [0.0, 90, 180, 270], {"units": "degrees_east"}),
}


def globe(tmp_path, coordinates=GLOBE, **further):
    """A file with a field that changes, one that does not, and the sun's light."""
    rng, dims = np.random.default_rng(0), ("time", "lat", "lon")
    data = {
        "t": (dims, rng.random((40, 3, 4))),
        "z": (dims[1:], rng.random((3, 4))),
        "soil": (dims[1:], rng.integers(0, 3, (3, 4)), {"flag_values": [0, 1, 2]}),
        "coast": (dims[1:], np.where(np.eye(3, 4), np.nan, 1.0)),
        "land": (dims, rng.random((1, 3, 4)).repeat(40, 0)),
        "tisr": (dims, rng.random((40, 3, 4)), {"units": "J m-2"}),
        **further,
    }
    path = tmp_path / "globe.nc"
    xr.Dataset(data, coordinates).to_netcdf(path, engine="h5netcdf")
    return path


def test_roles_are_proposed_by_what_is_known_beforehand(tmp_path):
    """Codes of categories and fields with gaps are no static fields."""
    path = globe(tmp_path)
    choices = proposal_of(path).choices
    assert choices["data.variables"].value == ["t"]
    assert choices["data.static"].value == ["latitude", "longitude", "z", "land"]
    assert choices["data.forcings"].value == ["time_of_day", "insolation"]
    train = proposal_of(path).experiment().data.open().splits().train
    assert [c.name for c in train.static.channels] == ["z", "land"]
    chosen = proposal_of(path, variables=["t", "tisr"]).choices
    assert "insolation" not in chosen["data.forcings"].value


def test_nothing_is_derived_from_dates_that_there_are_not(tmp_path):
    with xr.open_dataset(AIR, engine="h5netcdf", mask_and_scale=False) as air:
        since = np.arange(air.sizes["time"]) * np.timedelta64(6, "h").astype("m8[ns]")
        air.assign_coords(time=since).to_netcdf(tmp_path / "since.nc", engine="h5netcdf")
    assert "time_of_day" in proposal_of(AIR).choices["data.forcings"].value
    assert "data.forcings" not in proposal_of(tmp_path / "since.nc").choices


def test_sunlight_is_read_where_it_cannot_be_derived(tmp_path):
    choices = proposal_of(globe(tmp_path, {})).choices
    assert choices["data.forcings"].value == ["tisr"]
    assert choices["data.static"].value == ["z", "land"]


def test_only_what_all_files_hold_is_a_static_field(tmp_path):
    path = globe(tmp_path)
    with xr.open_dataset(path, engine="h5netcdf") as data:
        first, second = (data.isel(time=part) for part in (slice(0, 20), slice(20, 40)))
        first.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        second.drop_vars("z").to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    pattern = str(tmp_path / "[ab].nc")
    assert proposal_of(pattern).choices["data.static"].value == ["latitude", "longitude"]


def test_a_frame_in_a_file_of_its_own_is_no_static_field(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with xr.open_dataset(AIR, engine="h5netcdf", mask_and_scale=False) as air:
        air = air.isel(time=slice(0, 20)).assign(height=(("lat", "lon"), air.air[0].values * 1.0))
        for place in range(20):
            file = tmp_path / "frames" / f"{place:02d}.nc"
            file.parent.mkdir(exist_ok=True)
            air.isel(time=[place]).to_netcdf(file, engine="h5netcdf")
    fields = proposal_of(tmp_path / "frames").choices["data.static"].value
    assert fields == ["latitude", "longitude", "height"]
    assert run("inspect", "frames") == 0
    command = capsys.readouterr().out.split("Next:  ")[1].splitlines()[0]
    assert run(*shlex.split(command)[1:], *QUICK) == 0


def test_a_field_with_times_is_static_where_it_never_changes(tmp_path):
    path = globe(tmp_path)
    config = DataConfig(path=str(path), variables=["t"], static=["land", "z"])
    static = config.open().splits().train.static.values
    with xr.open_dataset(path, engine="h5netcdf") as data:
        expected = np.stack([data["land"].values[0], data["z"].values])
    assert np.allclose(static.numpy(), expected)
    with pytest.raises(UserError, match="tisr changes in time, first at frame 1"):
        DataConfig(path=str(path), variables=["t"], static=["tisr"]).open().splits()


def test_amounts_stay_above_zero(tmp_path):
    """Rain, of which much is 0; not a temperature that happens to be 0 once."""
    rain = np.random.default_rng(0).exponential(1.0, (40, 3, 4)) * (np.arange(4) > 0)
    warm = np.abs(np.random.default_rng(1).normal(size=(40, 3, 4)))
    warm.flat[0] = 0
    dims = ("time", "lat", "lon")
    path = globe(tmp_path, rain=(dims, rain), warm=(dims, warm), land=(dims, np.zeros((40, 3, 4))))
    assert proposal_of(path).choices["data.bounds"].value == {"rain": [0.0, None]}


@pytest.mark.parametrize(
    ("frames", "large", "cached"), [(1, True, True), (1, False, False), (8, True, False)]
)
def test_many_small_files_that_are_not_held_are_written_into_the_cache(
    tmp_path, monkeypatch, frames, large, cached
):
    hours = np.datetime64("2020-01-01", "ns") + np.arange(24) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).random((24, 4, 4))
    whole = xr.Dataset({"t": (("time", "y", "x"), values)}, {"time": hours})
    (tmp_path / "series").mkdir()
    for start in range(0, 24, frames):
        part = whole.isel(time=slice(start, start + frames))
        part.to_netcdf(tmp_path / "series" / f"{start:03}.nc")
    if large:
        monkeypatch.setattr("framecast.doctor.proposal.HELD", 0)
    choices = proposal_of(tmp_path / "series").choices
    assert ("data.cache" in choices) == cached


def test_slow_fields_are_forecast_by_their_change(tmp_path):
    assert proposal_of(AIR).choices["model.predicts"].value == "change"
    np.save(tmp_path / "f.npy", np.random.default_rng(0).random((40, 6, 6)))
    assert "model.predicts" not in proposal_of(tmp_path / "f.npy").choices


@pytest.mark.parametrize("kind", SEEDS)
def test_the_command_that_is_printed_works(tmp_path, monkeypatch, capsys, kind):
    """Two commands from any readable file to a run; --out is where the command says."""
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    path = SEEDS[kind](tmp_path / "my data")
    assert run("inspect", path.relative_to(tmp_path)) == 0
    printed = capsys.readouterr().out
    if kind in ("odim", "png", "jpeg", "geotiff"):  # one frame alone
        assert "but a window takes at least 2: more frames are needed" in printed
        assert "Next" not in printed
        return
    command = printed.split("Next:  ")[1].splitlines()[0]
    assert run(*shlex.split(command)[1:], *QUICK) == 0
    assert (tmp_path / "runs" / path.stem / "best.safetensors").exists()


@pytest.mark.parametrize("kind", ["air", "folder", "several", "kth"])
@pytest.mark.filterwarnings("ignore:.*sequences are cut")
def test_the_configuration_that_is_written_works(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    paths = [AIR]
    if kind == "folder":
        paths = [folder_of_videos(tmp_path / "v", (12, 9, 20))]
    if kind == "several":
        with xr.open_dataset(AIR, engine="h5netcdf", mask_and_scale=False) as air:
            for name, part in (("a", slice(0, 10)), ("b", slice(10, 20))):
                air.isel(time=part).to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    if kind == "kth":
        paths = [DATA / "kth"]
    arguments = ["--training.context", 3, "--training.horizon", 2] if kind == "kth" else []
    assert run("inspect", *paths, *arguments, "--write", "plan.yaml") == 0
    written = yaml.safe_load((tmp_path / "plan.yaml").read_text())
    assert written["training"]["context"] >= 1
    command = capsys.readouterr().out.split("Next:  ")[1].splitlines()[0]
    assert run(*shlex.split(command)[1:], *QUICK) == 0
    assert run("inspect", *paths, "--write", "plan.yaml") == 2
    assert "exists already" in capsys.readouterr().err


def test_large_pictures_that_are_no_videos_are_not_read_as_such(tmp_path):
    for n, values in enumerate(np.random.default_rng(0).integers(0, 255, (24, 130, 140), np.uint8)):
        Image.fromarray(values).save(tmp_path / f"{n:02}.png")
    for path in (tmp_path, tmp_path / "*.png"):
        choices = proposal_of(path).choices
        assert "data.source" not in choices
        assert choices["data.normalise"].value == "unit"


def test_a_variable_called_red_without_a_range_is_no_picture(tmp_path):
    data = xr.Dataset({"red": (("time", "y", "x"), np.random.default_rng(0).random((30, 4, 5)))})
    data.to_netcdf(tmp_path / "red.nc", engine="h5netcdf")
    proposal = proposal_of(tmp_path / "red.nc")
    assert not {"data.normalise", "model.output"} & proposal.choices.keys()
    proposal.experiment()


def _wind_and_rain(tmp_path):
    values = np.random.default_rng(0).random((40, 4, 5))
    fields = {"wind": values, "rain": values.clip(0.3) - 0.3, "still": np.ones_like(values)}
    data = xr.Dataset({name: (("time", "y", "x"), v) for name, v in fields.items()})
    data.to_netcdf(tmp_path / "w.nc", engine="h5netcdf")
    return tmp_path / "w.nc"


@pytest.mark.parametrize("role", ["forcings", "diagnostic"])
def test_what_has_another_role_is_no_variable_too(tmp_path, role):
    file = _wind_and_rain(tmp_path)
    proposal = proposal_of(file, {f"data.{role}": "[wind]"}, **{role: ["wind"]})
    assert proposal.choices["data.variables"].value == ["rain"]
    proposal.experiment()


def test_a_given_output_is_not_combined_with_what_it_does_not_suit(tmp_path):
    np.save(tmp_path / "f.npy", travelling_wave(1, 40)[:, :, 0:1])
    proposal_of(tmp_path / "f.npy", {"model.output": "tanh"}).experiment()


def test_what_is_refused_is_not_proposed(tmp_path, capsys):
    np.save(tmp_path / "f.npy", travelling_wave(1, 40)[:, :, 0:1])
    assert run("inspect", tmp_path / "f.npy", "--training.members", 3) == 2
    said = capsys.readouterr()
    assert "Next:" not in said.out
    assert "training.members" in said.err


def test_bounds_that_are_given_and_proposed_are_written_once(tmp_path, capsys):
    plan = tmp_path / "plan.yaml"
    given = ("--data.bounds.rain", [0, 10], "--write", plan)
    assert run("inspect", _wind_and_rain(tmp_path), *given) == 0
    assert plan.read_text().count("bounds:") == 1
    assert yaml.safe_load(plan.read_text())["data"]["bounds"] == {"rain": [0.0, 10.0]}


@pytest.mark.parametrize(("pieces", "crops"), [
    ([100], 86),
    ([500], 200),
    ([4000], None),
    ([100, 110], 86),
    ([20, 500], None),  # 6 of each would leave most of the second out
])  # fmt: skip
def test_stretches_are_drawn_from_alike_where_none_is_short(pieces, crops):
    windows, chosen = _crops(pieces, 15)
    assert chosen == crops
    assert windows == (sum(n // 15 for n in pieces) if crops is None else crops * len(pieces))


@pytest.mark.parametrize(("accumulate", "epochs", "warm"), [(1, 6, 3), (2, 12, 3), (1, 200, 50)])
def test_the_warm_up_is_a_share_of_the_steps_that_are_made(tmp_path, accumulate, epochs, warm):
    np.save(tmp_path / "f.npy", travelling_wave(1, 2400)[:, :, 0:1])
    given = {
        "data.windows_per_epoch": "80",
        "training.batch_size": "8",
        "training.accumulate": str(accumulate),
        "training.epochs": str(epochs),
    }
    assert proposal_of(tmp_path / "f.npy", given).choices["training.warmup_steps"].value == warm


def test_the_command_for_several_files_and_a_time_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SIZES", module.SIZES[-1:])
    values = np.random.default_rng(0).random((24, 3, 4)).astype(np.float32)
    hours = np.arange(24) * np.timedelta64(1, "h") + np.datetime64("2020-01-01", "ns")
    for name, part in (("a", slice(0, 12)), ("b", slice(12, 24))):
        data = xr.Dataset({"t": (("time", "y", "x"), values[part])}, {"time": hours[part]})
        data.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    assert run("inspect", "a.nc", "b.nc", "--minutes", "0.01") == 0
    command = capsys.readouterr().out.split("Next:  ")[1].splitlines()[0]
    assert command == "framecast train a.nc b.nc --minutes 0.01 --out runs/a"
    assert run(*shlex.split(command)[1:]) == 0


def test_minutes_without_data_are_refused(tmp_path, capsys):
    out = ("--minutes", "1", "--out", tmp_path / "run")
    assert run("train", "starter", "--data.path", AIR, *out) == 2
    assert run("train", "--resume", *out) == 2
    assert capsys.readouterr().err.count("--minutes goes with data") == 2


def test_a_picture_is_drawn(tmp_path):
    assert run("inspect", AIR, "--picture", tmp_path / "p.png") == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert run("inspect", AIR, "--picture", tmp_path / "p.png") == 2


def test_data_and_a_path_at_once_are_refused(tmp_path, capsys):
    out = ("--out", tmp_path / "run")
    assert run("train", AIR, "--data.path", AIR, *out) == 2
    assert "is data already" in capsys.readouterr().err
    assert run("inspect", AIR, "--data.path", AIR) == 2
    assert run("train", AIR, "--resume", *out) == 2
    assert "leave the data out" in capsys.readouterr().err


@pytest.mark.parametrize("fast", module.LAYERS)
def test_the_network_and_the_epochs_fit_the_time(monkeypatch, fast):
    proposal = proposal_of(AIR)
    tried = []

    def measured(experiment, splits, device):
        tried.append(experiment.model.hidden)
        slower = 1 if experiment.model.layer == fast else 3
        return slower * experiment.model.hidden / 100, 12

    monkeypatch.setattr(module, "_measure", measured)
    fitted = fit_to_time(proposal, 2.0).experiment()
    assert tried == [*[module.TRIED[1]] * len(module.LAYERS), 64, 48, 32, 24]
    assert fitted.model.layer == fast
    assert fitted.model.hidden == 24  # the first that makes 300 steps
    assert fitted.training.epochs == int(120 / (1.3 * 0.24)) // 12
    with pytest.raises(UserError, match="must be above 0"):
        fit_to_time(proposal, 0)


def test_an_epoch_that_takes_longer_than_the_time_is_cut(monkeypatch):
    monkeypatch.setattr(module, "_measure", lambda experiment, splits, device: (0.1, 12_500))
    fitted = fit_to_time(proposal_of(AIR), 1.0).experiment()
    steps = int(60 / 0.13)
    batch = fitted.training.batch_size
    assert (fitted.training.epochs, fitted.data.windows_per_epoch) == (1, steps * batch)
    assert fitted.training.warmup_steps == steps // 20


def test_a_step_is_measured():
    given = {"model.depth": "1", "model.hidden": "4", "model.layer": "conv_lstm"}
    fitted = fit_to_time(proposal_of(AIR, given), 1.0)
    assert fitted.experiment().model.layer == "conv_lstm"
    assert fitted.experiment().training.epochs > 1
    assert re.search(r"s a step and \d+ steps an epoch", fitted.choices["training.epochs"].why)
