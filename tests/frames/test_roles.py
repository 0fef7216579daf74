"""Roles of channels: prognostic, diagnostic, forcing, static; actions; through a whole run."""

import numpy as np
import pytest
import torch
import xarray as xr

from framecast import forecast_file, load_checkpoint, read_frames
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.evaluate import evaluate
from framecast.frames.batch import Batch, Conditions
from framecast.frames.channels import Channel
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.spec import Ports
from framecast.models.unroll import Carry, closed_loop
from framecast.runs.checkpoint import Checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train

HOURS = np.timedelta64(6, "h")


def dataset(times=60):
    """A field that follows a forcing known ahead, a variable that follows it, and a mountain."""
    random = np.random.default_rng(0)
    t = np.arange(times)
    y, x = np.linspace(50, 30, 5), np.linspace(0, 20, 6)
    heat = np.sin(2 * np.pi * t / 7)[:, None, None] + 0 * y[:, None] + 0 * x
    mountain = np.exp(-((y[:, None] - 40) ** 2 + (x - 10) ** 2) / 50)
    warmth = np.zeros_like(heat)
    for step in range(1, times):
        warmth[step] = 0.5 * warmth[step - 1] + heat[step] * (1 - mountain)
    warmth += 0.01 * random.normal(size=warmth.shape)
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "warmth": (dims, 280 + warmth.astype("f4"), {"units": "K"}),
            "melt": (dims, np.maximum(0, warmth).astype("f4"), {"units": "mm"}),
            "heat": (dims, heat.astype("f4"), {"units": "W m-2"}),
            "orography": (("lat", "lon"), 1000 * mountain.astype("f4"), {"units": "m"}),
            "pump": (("time",), (t % 3).astype("i4")),
        },
        coords={
            "time": np.datetime64("2020-01-01", "ns") + t * HOURS,
            "lat": ("lat", y, {"units": "degrees_north"}),
            "lon": ("lon", x, {"units": "degrees_east"}),
        },
        attrs={"title": "made for a test"},
    )


ROLES = {
    "variables": ["warmth"],
    "diagnostic": ["melt"],
    "forcings": ["heat", "time_of_day"],
    "static": ["orography", "latitude", "longitude"],
    "validation_fraction": 0.2,
    "test_fraction": 0.25,
}


def plan(folder, data=None, model=None, **training):
    path = folder / "data.nc"
    if not path.exists():
        dataset().to_netcdf(path, engine="h5netcdf")
    network = {"depth": 1, "hidden": 6, "padding": "replicate"} | (model or {})
    settings = {"context": 3, "horizon": 2, "epochs": 2, "precision": 32}
    return Experiment(
        DataConfig(path=str(path), **ROLES | (data or {})),
        ForecasterConfig(**network),
        TrainingConfig(**settings | training),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roles")
    return train(plan(folder, epochs=40, learning_rate=1e-2), folder / "run")


def test_channels_in_and_out_differ_through_checkpoint_forecast_and_evaluation(run, tmp_path):
    checkpoint = load_checkpoint(run)
    spec = checkpoint.frames
    assert [c.name for c in spec.predicted] == ["warmth", "melt"]
    assert spec.conditions == (
        *("heat", "sine of time of day", "cosine of time of day"),
        *("heat'", "sine of time of day'", "cosine of time of day'"),
        *("orography", "sine of latitude", "cosine of latitude"),
        *("sine of longitude", "cosine of longitude"),
    )
    assert (checkpoint.model.ports.read, checkpoint.model.ports.predicted) == (12, 2)
    source = run.parent / "data.nc"
    forecast_file(run, source, 10, tmp_path / "f.nc", starts=["40"], progress=False)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as forecast, dataset() as truth:
        assert set(forecast.data_vars) == {"warmth", "melt"}
        assert forecast.melt.attrs["units"] == "mm"
        assert forecast.attrs["title"] == "made for a test"
        later = truth.isel(time=slice(41, 51))
        assert (forecast.time.values == later.time.values).all()
        error = float(np.sqrt(((forecast.warmth - later.warmth) ** 2).mean()))
        still = float(np.sqrt(((truth.warmth[40] - later.warmth) ** 2).mean()))
        assert error < 0.5 * still  # what comes is known from the forcing alone
    scored = evaluate([run], steps=4)
    assert scored.first.names == ("warmth", "melt")
    ours, still = (f.mean("rmse").mean(0) for f in (scored.models[0], scored.baselines[0]))
    assert (ours < 0.7 * still).all()


def test_what_is_only_predicted_need_not_be_there_to_forecast(run, tmp_path):
    with dataset() as data:
        data.drop_vars("melt").to_netcdf(tmp_path / "less.nc", engine="h5netcdf")
    for name, source in (("a", run.parent / "data.nc"), ("b", tmp_path / "less.nc")):
        forecast_file(run, source, 3, tmp_path / f"{name}.nc", starts=["40"], progress=False)
    a, b = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in "ab")
    xr.testing.assert_equal(a, b)


def test_a_forecast_past_the_end_of_the_forcings_names_the_last_possible_step(run, tmp_path):
    source = run.parent / "data.nc"
    with pytest.raises(UserError, match=r"heat are known up to .*enough for --steps 9, but"):
        forecast_file(run, source, 12, tmp_path / "f.nc", starts=["50"], progress=False)
    forecast_file(run, source, 9, tmp_path / "f.nc", starts=["50"], progress=False)
    with pytest.raises(UserError, match=r"enough for --steps 0"):
        forecast_file(run, source, 1, tmp_path / "g.nc", progress=False)
    assert not (tmp_path / "g.nc").exists()


def test_another_file_gives_more_forcings(run, tmp_path):
    with dataset(80) as longer, dataset(60) as shorter:
        longer[["heat"]].isel(time=slice(55, 80)).to_netcdf(tmp_path / "heat.nc", engine="h5netcdf")
        shorter.to_netcdf(tmp_path / "past.nc", engine="h5netcdf")
        longer.to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
    more = {"starts": ["59"], "progress": False}
    past, heat = tmp_path / "past.nc", {"forcings": tmp_path / "heat.nc"}
    forecast_file(run, past, 12, tmp_path / "a.nc", **heat, **more)
    forecast_file(run, tmp_path / "all.nc", 12, tmp_path / "b.nc", **more)
    a, b = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in "ab")
    np.testing.assert_array_equal(a.warmth.values, b.warmth.values)
    with pytest.raises(UserError, match="enough for --steps 20"):
        forecast_file(run, past, 30, tmp_path / "c.nc", **heat, **more)


def test_forcings_that_are_missing_are_taken_of_another_file_or_named(run, tmp_path):
    """Variables that share an axis of times are filled up with NaN to the longest."""
    with dataset(80) as longer:
        longer[["heat"]].isel(time=slice(55, 80)).to_netcdf(tmp_path / "heat.nc", engine="h5netcdf")
        longer.to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
        unknown = longer.assign(heat=longer.heat.where(longer.time < longer.time[63]))
        unknown.to_netcdf(tmp_path / "past.nc", engine="h5netcdf")
    more = {"starts": ["59"], "progress": False}
    forecast_file(run, tmp_path / "all.nc", 12, tmp_path / "a.nc", **more)
    given = {"forcings": tmp_path / "heat.nc"} | more
    forecast_file(run, tmp_path / "past.nc", 12, tmp_path / "b.nc", **given)
    a, b = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in "ab")
    np.testing.assert_array_equal(a.warmth.values, b.warmth.values)
    with pytest.raises(UserError, match=r"heat are known up to .*enough for --steps 3"):
        forecast_file(run, tmp_path / "past.nc", 12, tmp_path / "c.nc", **more)


def test_a_past_that_holds_nothing_is_said(run, tmp_path):
    with dataset(60) as data:
        names = ["warmth", "melt"]
        known = data[names].where(data.time < data.time[50])
        data.assign(known).to_netcdf(tmp_path / "gone.nc", engine="h5netcdf")
    more = {"progress": False}
    with pytest.warns(UserWarning, match="the 3 frames up to .* nothing is known"):
        forecast_file(run, tmp_path / "gone.nc", 2, tmp_path / "f.nc", starts=["55"], **more)
    forecast_file(run, tmp_path / "gone.nc", 2, tmp_path / "f.nc", starts=["51"], **more)


@pytest.mark.parametrize(("change", "words"), [
    (lambda heat: heat.assign_coords(time=np.arange(80)), "are numbers, and those of .* dates"),
    (lambda heat: heat.assign(heat=heat.heat.assign_attrs(units="kW m-2")),
     "heat in kW m-2, but the model was trained on W m-2"),
    (lambda heat: heat.isel(lon=slice(0, 4)), "lies on another grid than"),
    (lambda heat: heat.assign_coords(lon=heat.lon + 90), "or at other places"),
])  # fmt: skip
def test_other_forcings_are_those_of_the_training_in_their_places(run, tmp_path, change, words):
    with dataset(80) as longer:
        change(longer[["heat"]]).to_netcdf(tmp_path / "heat.nc", engine="h5netcdf")
    more = {"starts": ["59"], "progress": False, "forcings": tmp_path / "heat.nc"}
    with pytest.raises(UserError, match=words):
        forecast_file(run, run.parent / "data.nc", 12, tmp_path / "f.nc", **more)


def test_derived_forcings_have_no_end(tmp_path):
    made = plan(tmp_path, data={"forcings": ["time_of_day", "time_of_year", "insolation"]})
    run = train(made, tmp_path / "run")
    labels = forecast_file(run, tmp_path / "data.nc", 90, tmp_path / "f.nc", progress=False)
    assert labels.steps == 90


@pytest.mark.parametrize(
    "change",
    [
        {"diagnostic": []},
        {"forcings": ["time_of_day"]},
        {"forcings": ["heat"]},
        {"forcings": ["heat", "time_of_day", "insolation"]},
        {"static": ["orography"]},
        {"static": ["orography", "latitude", "longitude", "grid_spacing"]},
        {"variables": ["warmth", "heat"], "forcings": ["time_of_day"]},
    ],
    ids=str,
)
def test_each_role_changes_the_forecast(run, tmp_path, change):
    other = train(plan(tmp_path, data=change, epochs=1), tmp_path / "other")
    assert load_checkpoint(other).model.ports != load_checkpoint(run).model.ports
    forecast_file(other, tmp_path / "data.nc", 2, tmp_path / "f.nc", starts=["40"], progress=False)


def test_a_static_field_reaches_the_forecast(run, tmp_path):
    with dataset() as data:
        data["orography"] = data.orography * -3 + 200
        data.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    for name, source in (("a", run.parent / "data.nc"), ("b", tmp_path / "other.nc")):
        forecast_file(run, source, 2, tmp_path / f"{name}.npz", starts=["40"], progress=False)
    a, b = (np.load(tmp_path / f"{name}.npz")["frames"] for name in "ab")
    assert not np.allclose(a, b)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"forcings": ["time_of_dy"]},
            r"Derived as data.forcings .*mean time_of_day",
        ),
        (
            {"static": ["heat"], "forcings": []},
            "data.static heat changes in time",
        ),
        ({"diagnostic": ["warmth"]}, "warmth is named twice"),
        (
            {"variables": ["warmth", "orography"], "static": []},
            "fields without time are named with",
        ),
        ({"actions": "heat", "forcings": []}, "data.actions heat has dimensions"),
    ],
)
def test_roles_that_do_not_fit_are_named(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        plan(tmp_path, data=data).data.open().splits()


def test_data_sets_without_variables_refuse_roles():
    with pytest.raises(ValueError, match=r"data\.diagnostic is not read by data.source kth"):
        DataConfig(source="kth", diagnostic=["a"])
    with pytest.raises(ValueError, match="action_shift 1 moves actions"):
        DataConfig(action_shift=1)


def test_all_other_variables_are_prognostic_by_default(tmp_path):
    plan(tmp_path)
    frames = read_frames(tmp_path / "data.nc", diagnostic=["melt"], forcings=["heat"])
    assert [(c.name, c.role) for c in frames.channels] == [
        ("warmth", "prognostic"),
        ("melt", "diagnostic"),
        ("heat", "forcing"),
    ]


def test_actions_go_from_the_data_into_training_and_forecasts(tmp_path):
    made = plan(tmp_path, data={"actions": "pump", "forcings": [], "static": []})
    run = train(made, tmp_path / "run")
    checkpoint = load_checkpoint(run)
    assert checkpoint.frames.actions == checkpoint.model.ports.actions == 3
    forecast_file(run, tmp_path / "data.nc", 4, tmp_path / "a.nc", starts=["40"], progress=False)
    with dataset() as data:
        data["pump"] = (data.pump + 1) % 3
        data.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    forecast_file(run, tmp_path / "other.nc", 4, tmp_path / "b.nc", starts=["40"], progress=False)
    a, b = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf").warmth.values for n in "ab")
    assert not np.allclose(a, b)
    with pytest.raises(UserError, match=r"the actions are known .*enough for --steps 1"):
        forecast_file(run, tmp_path / "data.nc", 5, tmp_path / "c.nc", progress=False)
    assert evaluate([run]).windows > 0


def test_actions_that_are_stored_late_are_moved(tmp_path):
    values, numbers = np.zeros((2, 6, 1, 3, 3), "f4"), np.array([[0, 1, 2, 0, 1, 2]] * 2)
    np.savez(tmp_path / "x.npz", frames=values, pushed=numbers)
    for shift, first in ((0, [1, 0, 0]), (1, [0, 1, 0])):
        frames = read_frames(tmp_path / "x.npz", actions="pushed", action_shift=shift)
        assert frames.actions.shape == (2, 6, 3)
        assert frames.actions[0, 0].tolist() == first
    assert frames.actions[0, -1].isnan().all()


def test_actions_beyond_the_end_are_found_by_their_times_or_refused(tmp_path):
    made = plan(tmp_path, data={"actions": "pump", "forcings": [], "static": []})
    run = train(made, tmp_path / "run")
    with dataset(80) as longer:
        longer.isel(time=slice(50, 80)).to_netcdf(tmp_path / "later.nc", engine="h5netcdf")
        longer.to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
    further = {"forcings": tmp_path / "later.nc"}
    forecast_file(run, tmp_path / "data.nc", 8, tmp_path / "a.nc", **further, progress=False)
    forecast_file(run, tmp_path / "all.nc", 8, tmp_path / "b.nc", starts=["59"], progress=False)
    a, b = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf").warmth.values for n in "ab")
    np.testing.assert_array_equal(a, b)


def test_a_file_with_fewer_kinds_of_actions_will_do(tmp_path):
    made = plan(tmp_path, data={"actions": "pump", "forcings": [], "static": []})
    run = train(made, tmp_path / "run")
    with dataset() as data:
        data["pump"] = data.pump % 2
        data.to_netcdf(tmp_path / "fewer.nc", engine="h5netcdf")
        data["pump"] = data.pump * 7
        data.to_netcdf(tmp_path / "more.nc", engine="h5netcdf")
    out = tmp_path / "f.nc"
    forecast_file(run, tmp_path / "fewer.nc", 2, out, starts=["40"], progress=False)
    with pytest.raises(UserError, match="8 numbers, or kinds, but the model was trained on 3"):
        forecast_file(run, tmp_path / "more.nc", 2, out, starts=["40"], progress=False)


def test_uneven_times_are_read_by_a_layer_that_knows_of_them(tmp_path):
    gaps = np.random.default_rng(0).integers(1, 5, 60)
    with dataset() as data:
        data["time"] = np.datetime64("2020-01-01", "ns") + np.cumsum(gaps) * HOURS
        data.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    even = {"forcings": [], "static": [], "diagnostic": []}
    with pytest.raises(UserError, match=r"not evenly spaced.*data.irregular"):
        train(plan(tmp_path, data=even), tmp_path / "even")
    uneven = even | {"irregular": True}
    with pytest.raises(UserError, match="min_conv_gru does not read the time between frames"):
        train(plan(tmp_path, data=uneven), tmp_path / "gru")
    run = train(plan(tmp_path, data=uneven, model={"layer": "conv_s5"}), tmp_path / "run")
    forecast_file(run, tmp_path / "data.nc", 3, tmp_path / "f.nc", progress=False)
    assert evaluate([run]).windows > 0
    past = {"starts": ["20"], "progress": False}
    forecast_file(run, tmp_path / "data.nc", 3, tmp_path / "f.nc", **past)
    with xr.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as data:
        later = data.time.where(data.time <= data.time[20], data.time + 40 * HOURS)
        data.assign_coords(time=later).to_netcdf(tmp_path / "later.nc", engine="h5netcdf")
    forecast_file(run, tmp_path / "later.nc", 3, tmp_path / "g.nc", **past)
    f, g = (xr.load_dataset(tmp_path / f"{n}.nc", engine="h5netcdf") for n in "fg")
    assert (g.time - f.time == 40 * HOURS).all()
    assert not np.allclose(f.warmth, g.warmth)  # they are of the times that they say
    model = load_checkpoint(run).model
    frames, times = torch.randn(1, 4, 1, 5, 6), torch.tensor([[1.0, 2.0, 1.0, 3.0]])
    apart = model(frames, None, Conditions(intervals=times))[0]
    assert not torch.allclose(apart, model(frames, None, Conditions(intervals=0 * times + 1))[0])


def network(**ports):
    torch.manual_seed(0)
    config = ForecasterConfig(depth=2, hidden=5, predicts=ports.pop("predicts", "frame"))
    return Forecaster(config, Ports(**ports)).double()


def test_a_change_is_added_to_the_prognostic_channels_alone():
    model = network(prognostic=2, diagnostic=1, predicts="change")
    plain = network(prognostic=2, diagnostic=1)
    frames = torch.randn(3, 4, 2, 5, 6, dtype=torch.float64)
    changed, told = model(frames)[0], plain(frames)[0]
    torch.testing.assert_close(changed[:, :, :2], told[:, :, :2] + frames)
    torch.testing.assert_close(changed[:, :, 2], told[:, :, 2])
    with pytest.raises(ValueError, match="predicts change needs output linear"):
        ForecasterConfig(predicts="change", output="sigmoid")


def test_a_step_reads_the_forcings_of_its_frame_and_of_the_next():
    forcings = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(1, 5, 1, 2, 2)
    static = torch.full((1, 2, 2), 9.0)
    fields = Batch(torch.zeros(1, 5, 1, 2, 2), forcings=forcings, static=static).conditions().fields
    assert fields[0, :, :, 0, 0].tolist() == [[0, 1, 9], [1, 2, 9], [2, 3, 9], [3, 4, 9]]


def test_parallel_and_step_by_step_agree_with_everything_that_is_read():
    model = network(prognostic=2, diagnostic=1, conditions=3, flags=(0,), actions=2)
    frames = torch.randn(2, 6, 3, 5, 6, dtype=torch.float64)
    mask = torch.rand(frames.shape) < 0.8
    conditions = Conditions(
        fields=torch.randn(2, 6, 3, 5, 6, dtype=torch.float64),
        actions=torch.randn(2, 6, 2, dtype=torch.float64),
    )
    read = model.read(frames, mask)
    whole, _ = model(read, None, conditions)
    first, state = model(read[:, :1], None, conditions.between(0, 1))
    assert torch.allclose(first[:, 0], whole[:, 0])
    for t in range(1, 6):
        frame, state = model.step(read[:, t], state, conditions.at(t))
        torch.testing.assert_close(frame, whole[:, t])
    loop = closed_loop(model, Carry(state, frame), iter([conditions.at(0)]))
    assert next(loop).frame.shape == (2, 3, 5, 6)


def channels(role, count):
    return tuple(Channel(f"{role}_{number}", {}, role) for number in range(count))


@pytest.mark.parametrize(
    ("ports", "described"),
    [
        ({"prognostic": 2, "actions": 3}, {"channels": channels("prognostic", 2), "actions": 3}),
        (
            {"prognostic": 3, "diagnostic": 1},
            {"channels": channels("prognostic", 3) + channels("diagnostic", 1)},
        ),
        (
            {"prognostic": 1, "conditions": 4, "flags": (0,)},
            {
                "channels": channels("prognostic", 1) + channels("forcing", 1),
                "static": channels("static", 2),
                "flagged": ("prognostic_0",),
            },
        ),
    ],
    ids=["actions", "diagnostic", "conditions"],
)
def test_a_checkpoint_rebuilds_any_model_alone(tmp_path, ports, described):
    model, spec = network(**ports).float(), FrameSpec(grid=(5, 6), step="1", **described)
    c, s = len(spec.channels), len(spec.static)
    scales = [torch.ones(n) for n in (c, c, s, s)]
    statistics = Statistics(*scales[:2], torch.zeros(c, 5, 6), None, *scales[2:])
    saved = Checkpoint(model, statistics, spec, context=2, horizon=2, epoch=1, loss=0.0)
    saved.save(tmp_path / "best.safetensors")
    loaded = load_checkpoint(tmp_path)
    assert loaded.model.spec == model.spec
    frames = torch.randn(1, 3, model.ports.fed_back, 5, 6)
    of = Conditions(
        fields=torch.randn(1, 3, model.ports.conditions, 5, 6) if model.ports.conditions else None,
        actions=torch.randn(1, 3, model.ports.actions) if model.ports.actions else None,
    )
    assert torch.equal(loaded.model(frames, None, of)[0], model(frames, None, of)[0])


def test_variables_count_in_the_loss_by_their_weights(tmp_path):
    made = plan(tmp_path, epochs=1)
    runs = [train(made, tmp_path / "equal")]
    for name, weights in (("melt", {"melt": 0.0}), ("warm", {"warmth": 5.0})):
        runs.append(train(plan(tmp_path, epochs=1, variable_weights=weights), tmp_path / name))
    losses = [load_checkpoint(run).loss for run in runs]
    assert len(set(losses)) == 3
    with pytest.raises(UserError, match=r"variable_weights names snow, but predicted are warmth"):
        train(plan(tmp_path, variable_weights={"snow": 1.0}), tmp_path / "snow")
    with pytest.raises(
        UserError, match=r"nothing to learn: all of warmth, melt have a weight of 0"
    ):
        train(plan(tmp_path, variable_weights={"warmth": 0.0, "melt": 0.0}), tmp_path / "none")
    area = train(plan(tmp_path, epochs=1, area_weights=True), tmp_path / "area")
    assert load_checkpoint(area).loss != losses[0]
