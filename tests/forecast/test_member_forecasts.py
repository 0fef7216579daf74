"""Forecasts with members: from noise, from several runs, from perturbed frames; and their files."""

import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import DATA, close
from framecast.base.errors import UserError
from framecast.cli import main
from framecast.cli.forecast import run as forecast_command
from framecast.forecast.ensemble import ForecastModel, forecast_members
from framecast.forecast.files import forecast_file
from framecast.forecast.members import Draws, Variation
from framecast.forecast.order import EnsembleOrder, Order
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import forecast_frames, outlook
from framecast.forecast.writers import Summary
from framecast.frames.batch import Conditions, Place
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.models import Forecaster, ForecasterConfig
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import BEST, Checkpoint, load_checkpoint
from small import travelling_wave

AIR = DATA / "air_temperature_small.nc"
NOISY = {"noise_channels": 2}


def a_run(folder, path=AIR, seed=0, **model):
    """An untrained run whose network reads noise, or not."""
    frames = read_frames(path)
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = Forecaster(ForecasterConfig(depth=2, hidden=6, **model), len(frames.channels)).eval()
    for name, weight in model.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(weight, std=0.3)
    statistics, spec = Statistics.of(frames), FrameSpec.of(frames)
    Checkpoint(model, statistics, spec, 4, 2, 1, 1.0).save(folder / BEST)
    return folder


def model_of(run, starts=(-1,), steps=4, path=AIR):
    predictor, frames = Predictor(load_checkpoint(run), "cpu"), read_frames(path)
    places = [start % frames.length for start in starts]
    return ForecastModel(predictor, outlook(predictor, frames, places, steps, 4, None), str(run))


def members_of(*models, **options):
    return torch.stack(list(forecast_members(models, **options)), 1)


def forecast(*words):
    return main(["forecast", *map(str, words)])


def test_members_differ_and_follow_from_the_seed_alone(tmp_path):
    model = model_of(a_run(tmp_path / "run", **NOISY))
    every = members_of(model, members=3, variation=Variation(seed=1))
    assert every.shape[:3] == (3, 4, 1)
    assert torch.equal(every, members_of(model, members=3, variation=Variation(seed=1)))
    other = members_of(model, members=3, variation=Variation(seed=2))
    for a in (every[1], every[2], *other):
        assert not torch.allclose(every[0], a)


@pytest.mark.parametrize("at_once", [1, 2])
def test_it_does_not_matter_which_members_are_forecast_side_by_side(tmp_path, at_once):
    model = model_of(a_run(tmp_path / "run", **NOISY), starts=(5, 9))
    close(members_of(model, members=5, at_once=at_once), members_of(model, members=5), 1e-5)
    close(members_of(model, members=3), members_of(model, members=5)[:3], 1e-5)


def test_a_forecast_without_members_is_the_first_of_them(tmp_path):
    model = model_of(a_run(tmp_path / "run", **NOISY))
    alone = torch.stack(list(forecast_frames(model.predictor, read_frames(AIR), 4)))
    close(alone[:, 0], members_of(model, members=2)[0], 1e-5)


@torch.no_grad()
def test_a_member_is_the_closed_loop_under_its_noise(tmp_path):
    model = model_of(a_run(tmp_path / "run", **NOISY))
    look, network = model.outlook, model.predictor.model
    draws = Draws.of(look.places, [2], Variation(seed=3))
    conditions = Conditions(noise=draws.noise(7, 2, read_frames(AIR).grid)[0])
    given = look.past().frames
    predictions, state = network(given, None, conditions.between(0, 4))
    frames = [predictions[:, -1]]
    for step in range(4, 7):
        frame, state = network.step(frames[-1], state, conditions.at(step))
        frames.append(frame)
    expected = model.predictor.scaling.denormalise(torch.stack(frames, 1))
    close(members_of(model, members=3, variation=Variation(seed=3))[2], expected[0][:, None], 1e-5)


def test_one_member_of_an_ensemble_is_told_from_a_forecast(tmp_path, capsys):
    for name, told in (("noisy", True), ("plain", False)):
        run = a_run(tmp_path / name, **(NOISY if told else {}))
        forecast(run, AIR, "--steps", 2, "--out", tmp_path / f"{name}.nc")
        assert ("one member of an ensemble" in capsys.readouterr().out) == told


def test_noise_is_standard_normal_and_independent():
    draws = Draws.of([Place(0, 3), Place(1, 3)], range(5), Variation(seed=4))
    noise, after = draws.noise(6, 2, (20, 30))
    assert noise.shape == (10, 6, 2, 20, 30)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.var().item() == pytest.approx(1, abs=0.01)
    between = torch.corrcoef(noise.flatten(0, 2).flatten(1)).fill_diagonal_(0)
    assert between.abs().max() < 6 / np.sqrt(600)
    first, then = draws.noise(4, 2, (20, 30))
    assert torch.equal(torch.cat([first, then.noise(2, 2, (20, 30))[0]], 1), noise)
    assert after.step == 6


@pytest.mark.parametrize("cells", [0.0, 1.5])
def test_a_perturbation_has_its_strength_and_its_reach(cells):
    places = [Place(n, 0) for n in range(4000)]
    draws = Draws.of(places, variation=Variation(perturb=0.5, cells=cells))
    fields = draws.perturbed(torch.zeros(4000, 3, 1, 5, 7))
    assert torch.equal(fields[:, 0], fields[:, 2])
    field = fields[:, 0, 0].double()
    close(field.var(0), torch.full((5, 7), 0.25), 0.1)
    apart = (field[:, 2, 3] * field[:, 2, 4]).mean() / 0.25
    expected = np.exp(-0.25 / cells**2) if cells else 0.0
    assert apart.item() == pytest.approx(expected, abs=0.06)
    corners = (field[:, 0, 0] * field[:, 4, 6]).mean() / 0.25
    assert corners.item() == pytest.approx(0, abs=0.06)


def test_perturbed_frames_make_members_of_a_run_without_noise(tmp_path):
    model = model_of(a_run(tmp_path / "run"))
    small, large = (
        members_of(model, members=4, variation=Variation(perturb=p)) for p in (0.01, 0.1)
    )
    alone = members_of(model, members=1)
    assert large.std(0).mean() > 5 * small.std(0).mean() > 0
    close(small, alone.expand_as(small), 0.02)


def test_several_runs_are_members_in_turn(tmp_path):
    models = [model_of(a_run(tmp_path / f"run{seed}", seed=seed)) for seed in range(2)]
    apart = [members_of(model, members=1)[0] for model in models]
    close(members_of(*models, members=2), torch.stack(apart), 1e-6)
    noisy = [model_of(a_run(tmp_path / f"n{seed}", seed=seed, **NOISY)) for seed in range(2)]
    every, first, second = (members_of(*which, members=4) for which in (noisy, *zip(noisy)))
    close(every[::2], first[::2], 1e-6)
    close(every[1::2], second[1::2], 1e-6)


def test_members_are_written_with_their_dimension_and_read_again(tmp_path):
    run = a_run(tmp_path / "run", **NOISY)
    expected = members_of(model_of(run), members=3, variation=Variation(seed=5))
    for suffix in (".nc", ".zarr"):
        out = tmp_path / f"f{suffix}"
        assert forecast(run, AIR, "--steps", 4, "--members", 3, "--seed", 5, "--out", out) == 0
        with xr.open_dataset(out, engine="zarr" if suffix == ".zarr" else "h5netcdf") as file:
            assert file.air.dims == ("member", "time", "lat", "lon")
            assert file.member.attrs["standard_name"] == "realization"
            np.testing.assert_allclose(file.air.values, expected[:, :, 0, 0], rtol=1e-5)
        again = read_frames(out)
        assert len(again.values) == 3
        np.testing.assert_allclose(again.values[:], expected[:, :, 0], rtol=1e-5)
    forecast(run, AIR, "--steps", 4, "--members", 3, "--seed", 5, "--out", tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as file:
        close(torch.from_numpy(file["frames"])[:, :, 0, 0].swapaxes(0, 1), expected[:, :, 0], 1e-5)


def test_the_history_is_a_command_that_makes_the_same_forecast(tmp_path):
    run, other = a_run(tmp_path / "run", **NOISY), a_run(tmp_path / "other", seed=1, **NOISY)
    options = ["--members", 4, "--seed", 3, "--perturb", 0.1, 2, "--start", 7, -1]
    options += ["--summary", "members", "mean", "quantiles=0.25,0.5"]
    first, second = tmp_path / "first.nc", tmp_path / "second.nc"
    forecast(run, AIR, "--steps", 3, *options, "--with", other, "--out", first)
    with xr.open_dataset(first, engine="h5netcdf") as one:
        words = shlex.split(one.attrs["history"].splitlines()[-1].split("Z: ")[1])
        words = [str(second) if word == str(first) else word for word in words[1:]]
        assert main(words[: words.index("(framecast")]) == 0
        with xr.open_dataset(second, engine="h5netcdf") as two:
            xr.testing.assert_equal(one, two)


def test_a_word_of_a_summary_may_be_said_twice():
    said = Summary.parse(["quantiles=0.1", "above=280", "quantiles=0.9", "above=285", "above:t=1"])
    assert said.quantiles == (0.1, 0.9)
    assert said.above == (("", (280.0, 285.0)), ("t", (1.0,)))


def test_the_history_names_every_input():
    order = Order(["a.nc", "b c.nc"], 3, ["-1"], None, ["f.nc", "g.nc"])
    words = shlex.split(order.command("run", "out.nc"))
    assert words[3:5] == ["a.nc", "b c.nc"]
    place = words.index("--forcings")
    assert words[place + 1 : place + 3] == ["f.nc", "g.nc"]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_summary_holds_statistics_of_the_members(tmp_path, suffix):
    run, out = a_run(tmp_path / "run", **NOISY), tmp_path / f"s{suffix}"
    words = ["mean", "spread", "quantiles=0,0.5,0.9", "above=280,281"]
    forecast(run, AIR, "--steps", 3, "--members", 5, "--summary", *words, "--out", out)
    members = members_of(model_of(run, steps=3), members=5)[:, :, 0, 0].numpy()
    with xr.open_dataset(out, engine="zarr" if suffix == ".zarr" else "h5netcdf") as file:
        assert set(file.data_vars) == {"air_mean", "air_spread", "air_quantile", "air_exceedance"}
        assert "member" not in file.dims
        np.testing.assert_allclose(file.air_mean, members.mean(0), rtol=1e-5)
        np.testing.assert_allclose(file.air_spread, members.std(0, ddof=1), rtol=2e-3, atol=1e-4)
        assert file.air_mean.attrs["cell_methods"] == "member: mean"
        assert file.air_spread.attrs["cell_methods"] == "member: standard_deviation"
        assert file.air_quantile.dims == ("quantile", "time", "lat", "lon")
        assert file["quantile"].values.tolist() == [0, 0.5, 0.9]
        expected = np.quantile(members, [0, 0.5, 0.9], axis=0)
        np.testing.assert_allclose(file.air_quantile, expected, rtol=1e-5)
        assert file.air_exceedance.dims == ("threshold", "time", "lat", "lon")
        expected = (members[None] >= np.array([280, 281])[:, None, None, None, None]).mean(1)
        np.testing.assert_allclose(file.air_exceedance, expected, atol=0.21)
        assert file.threshold.attrs["units"] == "degK"
        assert file.air_exceedance.attrs["units"] == "1"


def test_a_summary_of_several_variables_starts_and_sequences(tmp_path):
    waves = travelling_wave(3)
    x = (("sequence", "time", "y", "x"), waves[:, :, 0])
    data = xr.Dataset({"a": x, "b": (x[0], 2 * x[1])})
    data.to_netcdf(tmp_path / "waves.nc", engine="h5netcdf")
    run = a_run(tmp_path / "run", tmp_path / "waves.nc", **NOISY)
    words = ["members", "above:b=2", "spread", "--start", 5, 9]
    out = tmp_path / "out.nc"
    forecast(
        run, tmp_path / "waves.nc", "--steps", 2, "--members", 2, "--summary", *words, "--out", out
    )
    with xr.open_dataset(out, engine="h5netcdf") as file:
        assert file.a.dims == ("member", "sequence", "start", "lead_time", "y", "x")
        assert file.b_exceedance.dims == ("threshold_b", "sequence", "start", "lead_time", "y", "x")
        assert "a_exceedance" not in file
        share = (file.b >= 2).mean("member")
        np.testing.assert_allclose(file.b_exceedance[0], share)
        np.testing.assert_allclose(
            file.a_spread, file.a.std("member", ddof=1), rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_members_are_drawn(tmp_path, suffix):
    run, out = a_run(tmp_path / "run", **NOISY), tmp_path / f"f{suffix}"
    assert forecast(run, AIR, "--steps", 2, "--members", 3, "--out", out) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("noisy", "options", "message"),
    [
        (False, ["--members", 3], r"run reads no noise.*--with RUN.*--perturb 0.1.*loss crps"),
        (False, ["--seed", 3], "would change nothing"),
        (True, ["--members", 0], "at least 1"),
        (True, ["--members", 2, "--with", "run"], "is named twice"),
        (True, ["--members", 3, "--with", "other"], "give a multiple of 2"),
        (True, ["--perturb", 0.1], "--perturb makes members of an ensemble: add --members M"),
        (True, ["--perturb", 0], "must be above 0"),
        (True, ["--summary", "mean"], "add --members M"),
        (True, ["--members", 2, "--summary", "median"], "--summary median: choose from mean"),
        (True, ["--members", 2, "--summary", "quantiles=2"], r"must be in \[0, 1\]"),
        (True, ["--members", 2, "--summary", "above=x"], "give numbers"),
        (True, ["--members", 2, "--summary", "above:rain=1"], "name one of the variables air"),
        (True, ["--members", 1, "--summary", "spread"], "--members 2 or more"),
        (True, ["--members", 2, "--seed", -1], "at least 0"),
    ],
)
def test_what_makes_no_ensemble_is_refused(tmp_path, monkeypatch, capsys, noisy, options, message):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("run", "other")):
        a_run(tmp_path / name, seed=seed, **(NOISY if noisy else {}))
    assert forecast("run", AIR, "--steps", 2, *options, "--out", "f.nc") != 0
    assert not (tmp_path / "f.nc").exists()
    assert np.char.count(capsys.readouterr().err, "Traceback") == 0
    words = list(map(str, ["run", AIR, "--steps", 2, *options, "--out", "f.nc"]))
    with pytest.raises(UserError, match=message):
        forecast_command(words)


def test_baselines_and_runs_of_other_data_make_no_members(tmp_path):
    order = EnsembleOrder(members=3)
    with pytest.raises(UserError, match="the baseline persistence makes one forecast"):
        forecast_file("persistence", AIR, 2, tmp_path / "f.nc", ensemble=order)
    run = a_run(tmp_path / "run")
    checkpoint = load_checkpoint(a_run(tmp_path / "other"))
    (channel,) = checkpoint.frames.channels
    kelvin = replace(channel, attributes={**channel.attributes, "units": ""})
    frames = replace(checkpoint.frames, channels=(kelvin,))
    replace(checkpoint, frames=frames).save(tmp_path / "other" / BEST)
    order = EnsembleOrder(runs=(tmp_path / "other",))
    with pytest.raises(UserError, match=r"no members of one ensemble: the variables of the one"):
        forecast_file(run, AIR, 2, tmp_path / "f.nc", ensemble=order)


def test_members_are_held_within_bounds(tmp_path):
    model = model_of(a_run(tmp_path / "run", **NOISY))
    checkpoint = model.predictor.checkpoint
    bounded = replace(checkpoint, frames=replace(checkpoint.frames, bounds={"air": (275.0, 285.0)}))
    predictor = Predictor(bounded, "cpu")
    frames = read_frames(AIR)
    look = outlook(predictor, frames, [frames.length - 1], 3, 4, None)
    every = members_of(ForecastModel(predictor, look), members=3, variation=Variation(perturb=1.0))
    assert every.min() >= 275
    assert every.max() <= 285
