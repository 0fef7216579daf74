"""Baselines are what they say, on fields whose future is known."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.forecast.baselines import BASELINES, Climate, Following, Training
from framecast.forecast.baselines.motion import carry, further_back, velocities
from framecast.forecast.baselines.scales import split_scales
from framecast.forecast.competitor import Stretch
from framecast.frames.batch import Place
from framecast.frames.channels import Channel, Coordinate
from framecast.frames.frames import Frames

HOUR = np.timedelta64(1, "h")


def series(values, times=None, names=("a",), attributes=None):
    """Frames of values [T,H,W] or [T,C,H,W]."""
    values = torch.as_tensor(np.asarray(values), dtype=torch.float32)
    values = values[:, None] if values.ndim == 3 else values
    coordinates = {} if times is None else {"time": Coordinate(("time",), times)}
    channels = tuple(Channel(name, attributes or {}) for name in names)
    return Frames(values[None], channels, coordinates=coordinates)


def follow(name, training):
    fitted = BASELINES.find(name).fit(training)
    return Following(fitted, training.climate, training.frames.times_from)


def forecast(name, frames, start, steps, context=3):
    """The frames [K,C,H,W] that a baseline fitted to all frames forecasts after some of them."""
    training = Training(frames, Climate.of(frames))
    following = follow(name, training)
    stretch = frames.values[:, start - context : start]
    places = [Place(0, start - context)]
    state = None
    if context > 1:
        _, state = following.predict(Stretch(places, stretch, context - 1, False), None)
    unseen = torch.full_like(frames.values[:, :1], torch.nan).expand(-1, steps, -1, -1, -1)
    last = torch.cat([stretch[:, -1:], unseen], dim=1)
    predictions, _ = following.predict(Stretch([Place(0, start - 1)], last, 1, True), state)
    return predictions[0, 0]


def smooth(shape, seed=0, waves=4):
    """A random field that goes around on both sides."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft2(rng.normal(size=shape))
    rows, columns = (np.fft.fftfreq(n, 1 / n) for n in shape)
    spectrum *= np.exp(-((rows[:, None] ** 2 + columns**2) / waves**2))
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


def moved(field, rows, columns):
    """A periodic field, shifted by any distance."""
    angles = [np.fft.fftfreq(n)[:, None] * shift for n, shift in
              zip(field.shape, (rows, columns), strict=True)]  # fmt: skip
    phase = np.exp(-2j * np.pi * (angles[0] + angles[1].T))
    return np.fft.ifft2(np.fft.fft2(field) * phase).real


def rmse(forecast, truth):
    return float((forecast - truth).square().mean().sqrt())


@pytest.mark.parametrize("name", BASELINES.names())
def test_every_baseline_forecasts_frames_with_gaps(name):
    """Stretches give what one pass gives, and what was never known stays unknown."""
    rng = np.random.default_rng(0)
    values = np.stack([moved(smooth((20, 24)), 0.7 * t, t) for t in range(40)])
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, :2, :3] = np.nan
    frames = series(values, np.datetime64("2000-01-01", "ns") + np.arange(40) * HOUR)
    made = forecast(name, frames, 30, 4)
    assert made.shape == (4, 1, 20, 24)
    assert made[:, :, :2, :3].isnan().all()
    assert not made[:, :, 2:, 3:].isnan().any()

    training = Training(frames, Climate.of(frames))
    following = follow(name, training)
    window = frames.values[:, 27:35]
    _, state = following.predict(Stretch([Place(0, 27)], window[:, :3], 2, False), None)
    first, state = following.predict(Stretch([Place(0, 29)], window[:, 2:4], 1, True), state)
    rest, _ = following.predict(Stretch([Place(0, 30)], window[:, 3:7], 0, True), state)
    again = torch.cat([first, rest], dim=2)[0, 0]
    assert torch.allclose(again, made, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", BASELINES.names())
def test_windows_do_not_see_each_other(name):
    values = np.stack([moved(smooth((16, 16)), 0.5 * t, t) for t in range(30)])
    frames = series(values)
    training = Training(frames, Climate.of(frames))
    following = follow(name, training)

    def of(*starts):
        stretch = torch.stack([frames.values[0, s : s + 2] for s in starts])
        places = [Place(0, s) for s in starts]
        _, state = following.predict(Stretch(places, stretch, 1, False), None)
        nothing = torch.full_like(stretch[:, :1], torch.nan).expand(-1, 2, -1, -1, -1)
        later = torch.cat([stretch[:, 1:], nothing], dim=1)
        places = [Place(0, s + 1) for s in starts]
        return following.predict(Stretch(places, later, 1, True), state)[0][0]

    both = of(3, 17)
    assert torch.allclose(both, torch.cat([of(3), of(17)]), atol=1e-5)


class TestAdvection:
    @settings(max_examples=8)
    @given(st.floats(-2, 2), st.floats(-2, 2))
    def test_a_field_that_is_carried_along_is_forecast(self, rows, columns):
        field = smooth((48, 56))
        frames = series(np.stack([moved(field, rows * t, columns * t) for t in range(12)]))
        truth = frames.values[0, 6:12]
        made = forecast("advection", frames, 6, 6)
        moves = math.hypot(rows, columns) > 0.2
        assert rmse(made[-1], truth[-1]) < (
            0.2 * rmse(frames.values[0, 5], truth[-1]) if moves else 0.1
        )

    def test_shear_is_forecast(self):
        """Rows that move at their own speed, as in a jet."""
        speed = 2 * np.sin(np.arange(48) / 48 * 2 * np.pi)
        field = smooth((48, 56), waves=3)
        values = [
            np.stack([moved(row[None], 0, u * t)[0] for row, u in zip(field, speed, strict=True)])
            for t in range(12)
        ]
        frames = series(np.stack(values))
        made, truth = forecast("advection", frames, 6, 6), frames.values[0, 6:12]
        for lead in range(6):
            assert rmse(made[lead], truth[lead]) < 0.3 * rmse(frames.values[0, 5], truth[lead])

    def test_each_channel_moves_by_itself_but_colours_together(self):
        left, right = (
            np.stack([moved(smooth((32, 32), seed), 0, sign * t) for t in range(9)])
            for seed, sign in ((0, 1), (1, -1))
        )
        frames = series(np.stack([left, right], axis=1), names=("a", "b"))
        made, truth = forecast("advection", frames, 5, 4), frames.values[0, 5:9]
        assert rmse(made[-1], truth[-1]) < 0.2
        colours = np.stack([left, left, 0.1 * left], axis=1)
        frames = series(colours, names=("red", "green", "blue"))
        made = forecast("advection", frames, 5, 4)
        assert torch.allclose(made[:, 2], 0.1 * made[:, 0], atol=1e-5)

    def test_a_grid_that_ends_repeats_its_edge(self):
        """Ones on the left that move to the right: what comes in is ones."""
        values = np.zeros((8, 16, 32))
        for t in range(8):
            values[t, :, : 8 + 2 * t] = 1
        made = forecast("advection", series(values), 4, 4)
        assert made[-1, 0, :, :8].min() > 0.95

    @pytest.mark.parametrize("grid", [(1, 9), (2, 2), (3, 5), (17, 1)])
    def test_small_grids(self, grid):
        values = np.random.default_rng(0).random((8, *grid))
        assert forecast("advection", series(values), 5, 2).isfinite().all()

    def test_what_is_empty_does_not_move(self):
        values = np.zeros((8, 12, 12))
        values[4:, 3:6, 3:6] = 1
        assert forecast("advection", series(values), 4, 2).abs().max() < 1e-6
        assert forecast("advection", series(values), 5, 2).isfinite().all()

    def test_one_frame_alone_does_not_move(self):
        frames = series(np.random.default_rng(0).random((9, 8, 8)))
        made = forecast("advection", frames, 4, 2, context=1)
        assert torch.allclose(made[1], frames.values[0, 3], atol=1e-6)

    def test_the_library_is_named_where_it_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "skimage.registration", None)
        frames = series(np.zeros((4, 8, 8)))
        with pytest.raises(UserError, match=r"pip install 'framecast\[flow\]'"):
            BASELINES.find("advection").fit(Training(frames, Climate.of(frames)))

    def test_trajectories_bend(self):
        """In a vortex, what arrives after a quarter turn comes from the side."""
        y, x = np.mgrid[-24:25, -24:25].astype(np.float32)
        turn = math.pi / 40
        velocity = torch.from_numpy(np.stack([turn * x, -turn * y]))[None, None]
        shift = torch.zeros_like(velocity)
        for _ in range(20):
            shift = further_back(velocity, shift, (False, False))
        inside = np.hypot(x, y) < 12
        rows, columns = (shift[0, 0, k].numpy()[inside] for k in (0, 1))
        assert np.allclose(y[inside] - rows, -x[inside], atol=0.3)
        assert np.allclose(x[inside] - columns, y[inside], atol=0.3)


class TestFilteredAdvection:
    @given(st.integers(1, 20), st.integers(1, 20), st.booleans(), st.booleans())
    def test_the_scales_add_up(self, height, width, rows, columns):
        frame = torch.randn(2, 1, height, width)
        parts = split_scales(frame, (rows, columns))
        assert torch.allclose(parts.sum(2), frame, atol=1e-5)
        assert torch.allclose(
            parts[:, :, 0], frame.mean((-2, -1), keepdim=True).expand_as(frame), atol=1e-5
        )

    def test_what_is_noise_fades_and_what_lasts_stays(self):
        """Noise on a field that moves: the field is kept, the noise lost."""
        rng = np.random.default_rng(0)
        calm = np.stack([moved(smooth((48, 48), waves=2), 0, t) for t in range(12)])
        frames = series(calm + 0.5 * rng.normal(size=calm.shape))
        truth = torch.from_numpy(calm[6:]).float()[:, None]
        plain, filtered = (
            forecast(name, frames, 6, 6) for name in ("advection", "filtered_advection")
        )
        assert rmse(filtered[-1], truth[-1]) < 0.6 * rmse(plain[-1], truth[-1])

    def test_the_mean_of_the_grid_stays(self):
        frames = series(5 + np.random.default_rng(0).normal(size=(12, 16, 16)))
        made = forecast("filtered_advection", frames, 6, 6)
        assert made[-1].mean().item() == pytest.approx(frames.values[0, 5].mean().item(), abs=0.05)
        assert made[-1].std() < 0.3 * frames.values[0, 5].std()


class TestClimate:
    def test_few_frames_have_one_mean(self):
        values = np.random.default_rng(0).random((20, 3, 4))
        climate = Climate.of(
            series(values, np.datetime64("2000-01-01", "ns") + np.arange(20) * HOUR)
        )
        assert climate.says == "mean of the training"
        assert np.allclose(climate.mean.numpy()[0], values.mean(0), atol=1e-6)

    def test_hours_of_the_day_after_a_month(self):
        hours = np.arange(24 * 40)
        wave = np.sin(2 * np.pi * hours / 24)[:, None, None] * np.ones((2, 3))
        times = np.datetime64("2000-01-01", "ns") + hours * HOUR
        climate = Climate.of(series(wave, times))
        assert climate.says == "mean by hour of the day"
        assert np.allclose(climate.at(times[:48])[:, 0].numpy(), wave[:48], atol=1e-5)

    def test_seasons_after_two_years(self):
        """A wave of a year and one of a day, under noise, with days that are missing."""
        rng = np.random.default_rng(0)
        times = np.datetime64("2000-01-01", "ns") + np.arange(4 * 365 * 3) * 6 * HOUR
        times = times[rng.random(len(times)) > 0.2]
        year = (times - times.astype("datetime64[Y]")) / np.timedelta64(365, "D")
        day = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "D")
        wave = 10 * np.cos(2 * np.pi * year) + 2 * np.sin(2 * np.pi * day)
        noisy = wave + rng.normal(size=len(times))
        frames = series(noisy[:, None, None] * np.ones((1, 2)), times)
        climate = Climate.of(frames)
        assert climate.says == "mean by day of the year and hour of the day"
        error = climate.at(times)[:, 0, 0, 0].numpy() - wave
        assert np.sqrt(np.mean(error**2)) < 0.35

    def test_months_are_kept_apart(self):
        months = np.array([f"{2000 + m // 12}-{m % 12 + 1:02}-15" for m in range(36)], "M8[ns]")
        values = (np.arange(36) % 12 + np.arange(36) // 12)[:, None, None] * np.ones((1, 2))
        climate = Climate.of(series(values, months))
        assert climate.says == "mean by month"
        assert climate.at(months[:12])[:, 0, 0, 0].tolist() == [m + 1 for m in range(12)]

    def test_a_hole_in_the_year_is_bridged(self):
        times = np.datetime64("2000-01-01", "ns") + np.arange(365 * 3) * 24 * HOUR
        month = times.astype("datetime64[M]").astype(int) % 12
        values = month.astype(float)[:, None, None] * np.ones((1, 2))
        values[(month == 6) | (month == 5)] = np.nan
        july = np.array(["2001-06-30"], "M8[ns]")
        usual = Climate.of(series(values, times)).at(july)[0, 0, 0, 0].item()
        assert 4 < usual < 7.5


class TestDampedPersistence:
    def test_anomalies_fade_as_those_of_the_process(self):
        rng = np.random.default_rng(0)
        values, phi = [np.zeros((4, 5))], np.linspace(0.2, 0.9, 20).reshape(4, 5)
        for _ in range(4000):
            values.append(phi * values[-1] + rng.normal(size=(4, 5)))
        frames = series(np.stack(values) + 7)
        training = Training(frames, Climate.of(frames))
        fitted = BASELINES.find("damped_persistence").fit(training)
        assert np.allclose(fitted.memory[0].numpy(), phi, atol=0.05)
        made = forecast("damped_persistence", frames, 100, 3)
        expected = (
            fitted.climate.mean + (frames.values[0, 99] - fitted.climate.mean) * fitted.memory**3
        )
        assert torch.allclose(made[2], expected, atol=1e-5)


class TestLinearInverse:
    def test_a_linear_system_is_found(self):
        """Two patterns that turn into each other and fade, driven by noise."""
        rng = np.random.default_rng(0)
        turn = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
        patterns = np.linalg.qr(rng.normal(size=(30, 2)))[0].T
        amplitudes = [np.ones(2)]
        for _ in range(3000):
            amplitudes.append(turn @ amplitudes[-1] + 0.3 * rng.normal(size=2))
        values = (np.stack(amplitudes) @ patterns).reshape(-1, 5, 6)
        frames = series(values)
        made = forecast("linear_inverse", frames, 500, 5)
        expected = np.linalg.matrix_power(turn, 5) @ amplitudes[499] @ patterns
        assert rmse(made[4, 0], torch.from_numpy(expected.reshape(5, 6))) < 0.05 * values.std()

    def test_too_few_frames_are_refused(self):
        with pytest.raises(UserError, match="at least 5 frames, not 4"):
            forecast("linear_inverse", series(np.random.default_rng(0).random((4, 3, 3))), 3, 1)

    def test_nothing_grows_without_end(self):
        values = 1.2 ** np.arange(30)[:, None, None] * np.ones((3, 3))
        made = forecast("linear_inverse", series(values), 29, 200)
        assert made.isfinite().all()


def test_motion_is_measured_in_points_a_step():
    field = smooth((40, 40))
    past = [torch.from_numpy(moved(field, 1.5 * t, -0.5 * t)).float()[None, None] for t in range(3)]
    velocity = velocities(past, (True, True))[0, 0]
    assert velocity[0].mean().item() == pytest.approx(1.5, abs=0.1)
    assert velocity[1].mean().item() == pytest.approx(-0.5, abs=0.1)
    shift = further_back(velocity[None, None], torch.zeros(1, 1, 2, 40, 40), (True, True))
    arrived = carry(past[-1], shift, (True, True))
    assert rmse(arrived[0, 0], torch.from_numpy(moved(field, 4.5, -1.5)).float()) < 0.1
