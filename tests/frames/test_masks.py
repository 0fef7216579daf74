"""Missing values: what lies under a mask changes nothing, and what is missing stays missing."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from framecast import forecast_file, load_checkpoint, read_frames, rollout
from framecast.base.errors import UserError
from framecast.evaluate import evaluate
from framecast.frames.batch import Batch, Limits
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.scaling import fill
from framecast.frames.statistics import Statistics
from framecast.frames.windows import CropSampler, allowed_starts, side_by_side
from framecast.metrics import Scores
from framecast.metrics.numbers import FrameNumbers
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.losses import Losses, measure
from framecast.models.spec import Ports
from framecast.models.unroll import Unrolling
from framecast.train import train
from small import experiment, travelling_wave, windows_of

LAND = (slice(None), slice(None), 0, slice(5, 8), slice(0, 3))
"""Cells of the waves that are never known."""


def gappy_waves():
    """Travelling waves in two variables, with land, scattered gaps and a frame that is missing."""
    waves = travelling_wave(sequences=6, length=16)
    values = np.concatenate([waves, -waves], axis=2)
    values[LAND] = np.nan
    values[np.random.default_rng(1).random(values.shape) < 0.05] = np.nan
    values[1, 7] = np.nan
    return values


def plan(folder, values, name="gappy", data=None, **training):
    np.save(folder / f"{name}.npy", values)
    given = {"variables": ["u", "v"], "missing": [-999.0]} | (data or {})
    made = experiment(folder, data=None, **training)
    return type(made)(
        type(made.data)(path=str(folder / f"{name}.npy"), **given), made.model, made.training
    )


@settings(max_examples=20)
@given(
    shape=st.tuples(
        st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), *[st.integers(1, 4)] * 2
    ),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
    loss=st.sampled_from(["mse", "l1", "l1_mse"]),
)
def test_the_loss_is_a_weighted_mean_over_what_is_known(shape, share, seed, loss):
    generator = torch.Generator().manual_seed(seed)
    predictions, truth = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    known = torch.rand(shape, generator=generator) < share
    area = torch.rand(shape[-2:], dtype=torch.float64, generator=generator) + 0.1
    error = {
        "mse": lambda e: e**2,
        "l1": abs,
        "l1_mse": lambda e: abs(e) + e**2,
    }[loss]
    means = []
    for v in range(shape[2]):
        total = weight = 0.0
        for at in np.ndindex(shape[:2] + shape[3:]):
            b, t, y, x = at
            if known[b, t, v, y, x]:
                w = area[y, x].item()
                total += w * error((predictions - truth)[b, t, v, y, x].item())
                weight += w
        means.append(total / weight if weight else None)
    counted = [mean for mean in means if mean is not None]
    found = measure(predictions, truth, known, area.float().double(), loss).mean().item()
    expected = np.mean(counted) if counted else 0.0
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=20)
@given(shape=st.tuples(*[st.integers(1, 4)] * 5), weighted=st.booleans(), seed=st.integers(0, 99))
def test_an_all_known_mask_equals_none_to_the_bit(shape, weighted, seed):
    generator = torch.Generator().manual_seed(seed)
    predictions, truth = torch.randn(2, *shape, generator=generator)
    area = torch.rand(shape[-2:], generator=generator) if weighted else None
    ones = torch.ones(shape, dtype=torch.bool)
    with_mask, without = (measure(predictions, truth, known, area, "mse") for known in (ones, None))
    assert torch.equal(with_mask.sums, without.sums)
    assert torch.equal(with_mask.weights, without.weights)
    assert torch.equal(with_mask.mean(), without.mean())


def test_a_variable_of_which_nothing_is_known_does_not_count():
    errors = torch.tensor([2.0, 0.0], requires_grad=True)
    losses = Losses(errors, torch.tensor([4.0, 0.0], dtype=torch.float64))
    assert losses.means().tolist() == [0.5, 0.0]
    losses.mean().backward()
    assert errors.grad.tolist() == [0.25, 0.0]


def test_parts_of_a_loss_add_up_whatever_is_missing_where():
    generator = torch.Generator().manual_seed(0)
    predictions, truth = torch.randn(2, 3, 8, 2, 4, 5, dtype=torch.float64, generator=generator)
    known = torch.rand(truth.shape, generator=generator) < 0.4
    known[:, :3] &= torch.rand(3, 3, 2, 4, 5, generator=generator) < 0.1
    whole = measure(predictions, truth, known, None, "mse")
    parts = [
        measure(predictions[:, s], truth[:, s], known[:, s], None, "mse")
        for s in (slice(0, 3), slice(3, 8))
    ]
    apart = sum(part.mean(weights=whole.weights) for part in parts)
    assert apart.item() == pytest.approx(whole.mean().item(), rel=1e-12)
    assert (parts[0] + parts[1]).mean().item() == pytest.approx(whole.mean().item(), rel=1e-12)


def test_missing_values_are_filled_by_the_last_known_one():
    values = torch.tensor([[5.0, 0.0, 7.0, 0.0, 0.0]]).view(1, 5, 1, 1, 1)
    known = torch.tensor([False, True, True, False, False]).view(1, 5, 1, 1, 1)
    filled = fill(values, known, torch.full((1, 1, 1, 1), -1.0))
    assert filled.flatten().tolist() == [-1, 0, 7, 7, 7]
    assert fill(values, known, None).flatten()[0] == 0


def test_statistics_count_known_values_alone():
    values = 5 + 3 * torch.randn(3, 90, 2, 4, 5, dtype=torch.float64)
    values[:, :, 1] += 1000
    values[torch.rand(values.shape) < 0.3] = torch.nan
    values[:, :, 0, 1, 1] = torch.nan
    frames = Frames(values.float(), (Channel("a"), Channel("b")), ("n", "time", "y", "x"))
    statistics = Statistics.of(frames)
    flat = values.float().double().numpy()
    for channel in range(2):
        assert statistics.offset[channel] == pytest.approx(
            np.nanmean(flat[:, :, channel]), rel=1e-6
        )
        assert statistics.scale[channel] == pytest.approx(np.nanstd(flat[:, :, channel]), rel=1e-5)
    assert statistics.climatology[0, 1, 1].isnan()
    with np.errstate(all="ignore"):
        expected = torch.from_numpy(np.nanmean(flat[:, :, 1], (0, 1))).float()
    torch.testing.assert_close(statistics.climatology[1], expected)
    assert statistics.gaps == [True, True]
    assert statistics.known[0, 1, 1] == 0
    complete = Statistics.of(Frames(torch.randn(1, 5, 1, 2, 2), (Channel("a"),)))
    assert complete.known is None


def test_a_variable_that_is_never_known_is_named():
    values = torch.randn(1, 5, 2, 2, 2)
    values[:, :, 1] = torch.nan
    with pytest.raises(UserError, match="b is missing in all training frames"):
        Statistics.of(Frames(values, (Channel("a"), Channel("b"))))


def weights_of(run):
    return load_file(run / "last.safetensors")


def test_values_under_a_mask_change_nothing_in_training_forecast_or_score(tmp_path):
    values = gappy_waves()
    other = np.where(np.isnan(values), np.float32(-999), values)
    runs = {}
    for name, frames in (("nan", values), ("sentinel", other)):
        run = train(plan(tmp_path, frames, name, area_weights=False), tmp_path / name)
        forecast_file(run, tmp_path / f"{name}.npy", 5, tmp_path / f"{name}.npz", progress=False)
        runs[name] = run
    a, b = (weights_of(run) for run in runs.values())
    assert all(torch.equal(a[key].nan_to_num(-7.0), b[key].nan_to_num(-7.0)) for key in a)
    frames = [np.load(tmp_path / f"{name}.npz")["frames"] for name in runs]
    assert np.array_equal(*frames, equal_nan=True)
    scores = [evaluate([run]).models[0].mean("rmse") for run in runs.values()]
    assert torch.equal(*scores)


def test_what_is_missing_in_training_is_missing_in_forecasts_and_nothing_else(tmp_path):
    run = train(plan(tmp_path, gappy_waves()), tmp_path / "run")
    checkpoint = load_checkpoint(run)
    assert checkpoint.frames.flagged == ("u", "v")
    land = np.isnan(gappy_waves()).all((0, 1))
    for frame in rollout(checkpoint, read_frames(tmp_path / "gappy.npy", ["u", "v"]).values, 4):
        assert (frame.isnan().numpy() == land).all()


def test_an_outage_in_the_given_frames_is_bridged(tmp_path):
    """The frames before a forecast may be missing whole: it starts from the last known ones."""
    run = train(plan(tmp_path, gappy_waves(), epochs=8, learning_rate=5e-3), tmp_path / "run")
    checkpoint = load_checkpoint(run)
    past = read_frames(tmp_path / "gappy.npy", ["u", "v"]).values[:, 4:10].clone()
    out = past.clone()
    out[:, -2:] = torch.nan
    whole, bridged = (torch.stack(list(rollout(checkpoint, frames, 3))) for frames in (past, out))
    known = ~whole.isnan()
    assert torch.equal(known, ~bridged.isnan())
    assert not torch.equal(whole[known], bridged[known])
    nothing = torch.full_like(past, torch.nan)
    assert torch.stack(list(rollout(checkpoint, nothing, 2)))[known[:2]].isfinite().all()


def test_a_mask_channel_tells_a_filled_value_from_a_known_one(tmp_path):
    run = train(plan(tmp_path, gappy_waves(), epochs=1), tmp_path / "on")
    off = train(
        plan(tmp_path, gappy_waves(), data={"mask_channel": False}, epochs=1), tmp_path / "off"
    )
    assert load_checkpoint(run).model.ports.read == 4
    assert load_checkpoint(off).model.ports.read == 2
    whole = travelling_wave()
    np.save(tmp_path / "whole.npy", whole)
    plain = experiment(tmp_path, epochs=1)
    assert load_checkpoint(train(plain, tmp_path / "plain")).frames.flagged == ()
    asked = experiment(tmp_path, data={"mask_channel": True}, epochs=1)
    assert load_checkpoint(train(asked, tmp_path / "asked")).frames.flagged == ("channel_0",)


def test_windows_whose_targets_are_hardly_known_are_left_out():
    values = torch.zeros(1, 20, 1, 2, 2)
    values[:, 8:14] = torch.nan
    frames = Frames(values, (Channel("a"),))
    (starts,) = allowed_starts(frames, 6, 3, 0.5)
    known = [
        start
        for start in range(15)
        if sum(not 8 <= t < 14 for t in range(start + 3, start + 6)) >= 2
    ]
    assert np.flatnonzero(starts).tolist() == known
    sampler = CropSampler(frames.pieces, 6, 60, seed=0, allowed=[starts])
    assert {place.start for place in sampler} == set(known)
    assert [p.start for p in side_by_side(frames, 6, [starts])] == [
        s for s in (0, 6, 12) if s in known
    ]
    assert allowed_starts(frames, 6, 3, 0.0) is None


def test_no_window_crosses_a_gap_in_the_time_axis():
    times = np.array("2024-01-01", "datetime64[ns]") + np.timedelta64(6, "h") * np.array(
        [*range(8), *range(11, 20)]
    )
    values = torch.arange(17.0).view(1, 17, 1, 1, 1).expand(1, 17, 1, 2, 2)
    frames = Frames(values, (Channel("a"),), coordinates={"time": Coordinate(("time",), times)})
    assert [(p.start, p.stop) for p in frames.pieces] == [(0, 8), (8, 17)]
    assert str(frames.step) == "6 h"
    windows = windows_of(frames, 4)
    for place in [
        *CropSampler(frames.pieces, 4, 50, seed=0),
        *side_by_side(frames, 4, strides=(1,)),
    ]:
        steps = np.diff(times[place.start : place.start + 4])
        assert (steps == np.timedelta64(6, "h")).all()
        assert windows[place].frames.shape[1] == 4
    assert frames.times_from(0, 6, 4)[-1] == times[7] + np.timedelta64(12, "h")


def test_a_forecast_does_not_read_across_a_gap(tmp_path):
    times = np.datetime64("2024-01-01", "ns") + np.timedelta64(1, "h") * np.array(
        [*range(30), *range(40, 60)]
    )
    waves = travelling_wave(sequences=1, length=50)[0, :, 0]
    data = xr.Dataset({"a": (("time", "y", "x"), waves)}, coords={"time": times})
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    made = experiment(tmp_path, epochs=1)
    config = type(made.data)(
        path=str(tmp_path / "x.nc"), validation_fraction=0.2, test_fraction=0.2
    )
    run = train(type(made)(config, made.model, made.training), tmp_path / "run")
    with pytest.raises(UserError, match=r"2 past frames since .* times are missing"):
        forecast_file(run, tmp_path / "x.nc", 2, tmp_path / "f.nc", starts=["31"])
    forecast_file(run, tmp_path / "x.nc", 5, tmp_path / "f.nc", starts=["28"], progress=False)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as forecast:
        assert (np.diff(forecast.time.values) == np.timedelta64(1, "h")).all()
        assert forecast.time.values[0] == times[29]


def test_bounds_are_held_in_forecasts_to_the_last_digit(tmp_path):
    np.save(tmp_path / "rain.npy", np.maximum(0, travelling_wave() - 4))
    made = experiment(tmp_path, epochs=1)
    data = {"path": str(tmp_path / "rain.npy"), "bounds": {"channel_0": [0.21875, 0.234375]}}
    run = train(type(made)(type(made.data)(**data), made.model, made.training), tmp_path / "run")
    checkpoint = load_checkpoint(run)
    frames = torch.stack(list(rollout(checkpoint, read_frames(tmp_path / "rain.npy").values, 5)))
    assert frames.min() == 0.21875
    assert frames.max() == 0.234375
    wrong = type(made.data)(**data | {"bounds": {"snow": [0.0, None]}})
    with pytest.raises(UserError, match=r"data.bounds names snow, but predicted are channel_0"):
        train(type(made)(wrong, made.model, made.training), tmp_path / "wrong")


def test_scores_leave_out_what_is_not_known():
    truth = torch.zeros(2, 3, 1, 4, 4)
    predictions = torch.ones_like(truth)
    truth[0, 1, 0, :2] = torch.nan
    predictions[0, 1, 0, :2] = 1e9
    scores = Scores.of(predictions, truth)
    assert scores.metric("rmse").flatten().tolist() == [1, 1, 1]
    assert scores.total().sums["weight"].flatten().tolist() == [32, 24, 32]


def test_images_with_gaps_are_no_perfect_images():
    truth = torch.zeros(2, 1, 1, 4, 4)
    truth[0, 0, 0, 0, 0] = torch.nan
    family = FrameNumbers(("psnr",), torch.tensor([[-1.0, 1.0]]))
    predictions = torch.full((2, 1, 1, 4, 4), 2 * 10**-1.5)
    one = Scores.of(predictions, truth, (family,))
    assert one.metric("psnr").item() == pytest.approx(30)
    assert one.left_out("psnr").item() == 1
    truth[1] = torch.nan
    assert Scores.of(predictions, truth, (family,)).metric("psnr").isnan().all()


def test_the_fed_back_frame_has_no_value_where_none_is_possible():
    torch.manual_seed(0)
    ports = Ports(prognostic=2, flags=(1,))
    model = Forecaster(ForecasterConfig(depth=1, hidden=4), ports)
    possible = torch.rand(2, 3, 4) < 0.5
    frame = torch.randn(5, 2, 3, 4)
    read = model.feed_back(frame, Limits(possible=possible))
    assert torch.equal(read[:, :2], frame.where(possible, 0.0))
    assert torch.equal(read[:, 2], possible[1].float().expand(5, 3, 4))


def test_the_loss_sees_nothing_under_the_mask_in_the_closed_loop():
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(depth=1, hidden=4), Ports(2, flags=(0, 1))).double()
    frames = torch.randn(3, 8, 2, 5, 6, dtype=torch.float64)
    mask = torch.rand(frames.shape) < 0.7
    losses = []
    for noise in (0.0, 100.0):
        seen = frames + noise * torch.randn_like(frames) * ~mask
        filled = fill(seen, mask, torch.zeros_like(seen[:, 0]))
        (part,) = model.losses(Batch(filled, mask), Unrolling(context=4))
        losses.append(part.mean())
    assert torch.equal(*losses)
