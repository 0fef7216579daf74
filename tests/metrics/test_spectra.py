"""Spectra: closed forms, Parseval's theorem, and what blur does to them."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import periodogram

from framecast.base.errors import UserError
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.metrics import Scores
from framecast.metrics.spectrum import Spectra, isotropic_bins, zonal_bins
from framecast.metrics.wavelengths import columns_wrap, find_bins

GRID = (16, 24)


def waves(rows, columns, grid=GRID):
    """A plane wave of amplitude 1: its variance is 1/2."""
    y, x = np.indices(grid)
    field = np.cos(2 * np.pi * (rows * y / grid[0] + columns * x / grid[1]) + 0.3)
    return torch.from_numpy(field.astype(np.float32))[None, None, None]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def spectrum(family, forecast, truth=None, name="power"):
    truth = forecast if truth is None else truth
    return Scores.of(forecast, truth, (family,)).metric(name)[:, 0]


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_a_wave_has_all_its_power_at_its_wavelength(columns):
    bins = isotropic_bins(GRID, "periodic", None)
    power = spectrum(Spectra(bins), waves(0, columns))[0, 0]
    assert power.argmax() == columns - 1
    assert power[columns - 1].item() == pytest.approx(0.5, rel=1e-5)
    assert bins.wavelengths[columns - 1] == pytest.approx(24 / columns)
    assert (power.sum() - power[columns - 1]).abs() < 1e-6


def test_wavelengths_have_the_units_of_the_grid():
    bins = isotropic_bins(GRID, "periodic", (50.0, 100.0))
    assert bins.units == "km"
    assert bins.wavelengths[0] == pytest.approx(2400)
    assert bins.wavelengths[-1] == pytest.approx(200)
    power = spectrum(Spectra(bins), waves(2, 0))[0, 0]  # two waves in 800 km
    assert bins.wavelengths[power.argmax()] == pytest.approx(400)


def test_powers_add_up_to_the_variance_but_for_the_corners():
    field = noise(3, 2, 1, 15, 15)
    bins = isotropic_bins((15, 15), "periodic", None)
    inside = (bins.places > 0).double()
    power = spectrum(Spectra(bins), field)
    whole = torch.fft.fft2(field.double()).abs().square() / 15**4
    half = inside[:, 1:].flip(1)
    everywhere = torch.cat([inside, torch.cat([half[:1], half[1:].flip(0)])], 1)
    expected = (whole * everywhere).sum((-2, -1)).mean(0)
    torch.testing.assert_close(power.sum(-1), expected, rtol=1e-5, atol=0)
    assert (power.sum(-1) < field.var((-2, -1), correction=0).mean(0)).all()


def test_a_windowed_spectrum_has_the_power_of_noise_and_no_leak_of_a_ramp():
    field = noise(400, 1, 1, 16, 16)
    windowed, periodic = (
        spectrum(Spectra(isotropic_bins((16, 16), kind, None)), field)[0, 0]
        for kind in ("windowed", "periodic")
    )
    torch.testing.assert_close(windowed[1:], periodic[1:], rtol=0.06, atol=0)
    ramp = torch.arange(32.0).expand(1, 1, 1, 32, 32)
    leak = [
        spectrum(Spectra(isotropic_bins((32, 32), kind, None)), ramp)[0, 0]
        for kind in ("windowed", "periodic")
    ]
    assert leak[0][-1] / leak[0].sum() < 1e-4 * leak[1][-1] / leak[1].sum()


def test_a_zonal_spectrum_equals_a_periodogram_of_scipy_weighted_by_latitude():
    latitudes = np.linspace(80, -80, 9)
    field = noise(4, 3, 2, 9, 20)
    family = Spectra(zonal_bins(latitudes, 20, 6371.0))
    frequencies, density = periodogram(field.numpy().astype(float), detrend=False)
    w = np.cos(np.deg2rad(latitudes))
    expected = (density / 20 * w[:, None]).sum(-2) / w.sum()
    assert frequencies[1] == 1 / 20
    np.testing.assert_allclose(spectrum(family, field), expected.mean(0)[..., 1:], rtol=1e-4)
    circle = 2 * np.pi * 6371.0 * (w @ w) / w.sum()
    np.testing.assert_allclose(family.bins.wavelengths, circle / np.arange(1, 11))


@pytest.mark.parametrize("kind", ["periodic", "windowed", "zonal"])
def test_the_level_of_a_field_is_in_no_spectrum(kind):
    field = noise(3, 1, 1, *GRID)
    bins = zonal_bins(np.linspace(80, -80, 16), 24, 6371.0)
    if kind != "zonal":
        bins = isotropic_bins(GRID, kind, None)
    lifted = spectrum(Spectra(bins), field + 1000)
    torch.testing.assert_close(lifted, spectrum(Spectra(bins), field), rtol=1e-3, atol=1e-6)


def test_a_forecast_like_the_truth_is_sharp_and_resolves_all():
    field = noise(2, 3, 1, 32, 32)
    family = Spectra(isotropic_bins((32, 32), "periodic", None))
    scores = Scores.of(field, field, (family,))
    assert (scores.metric("sharpness") == 1).all()
    assert (scores.metric("effective_resolution") == 2).all()
    assert (scores.metric("power_error") == 0).all()
    torch.testing.assert_close(scores.metric("power"), scores.metric("power_truth"))


def test_blur_has_a_number():
    truth = noise(6, 1, 1, 64, 64)
    family = Spectra(isotropic_bins((64, 64), "periodic", None))
    sharpness, resolved = [], []
    for sigma in (0.5, 1, 2, 4):
        blurred = gaussian_filter(truth.numpy(), (0, 0, 0, sigma, sigma), mode="wrap")
        scores = Scores.of(torch.from_numpy(blurred), truth, (family,))
        sharpness.append(scores.metric("sharpness").item())
        resolved.append(scores.metric("effective_resolution").item())
    assert sorted(sharpness, reverse=True) == sharpness
    assert sharpness[0] < 0.5
    # exp(−(2πσ/λ)²) is the share of power that is left: half at λ = 2πσ / √log 2.
    for sigma, found in zip((1, 2, 4), resolved[1:], strict=True):
        expected = 2 * np.pi * sigma / np.sqrt(np.log(2))
        assert abs(1 / found - 1 / expected) < 1.5 / 64, sigma  # the next ring


def test_nothing_is_resolved_by_a_flat_forecast():
    truth = noise(2, 1, 1, 16, 16)
    family = Spectra(isotropic_bins((16, 16), "periodic", None))
    scores = Scores.of(torch.zeros_like(truth), truth, (family,))
    assert scores.metric("effective_resolution").item() == torch.inf
    assert scores.metric("sharpness").item() == 0
    torch.testing.assert_close(scores.metric("power_error"), scores.metric("power_truth"))


@pytest.mark.parametrize("kind", ["periodic", "windowed"])
def test_a_forecast_that_is_not_finite_resolves_nothing_that_can_be_told(kind):
    truth = noise(2, 1, 1, *GRID)
    forecast = truth.clone()
    forecast[0, 0, 0, 3, 3] = torch.inf
    scores = Scores.of(forecast, truth, (Spectra(isotropic_bins(GRID, kind, None)),))
    assert scores.metric("effective_resolution").isnan().all()
    assert scores.metric("sharpness").isnan().all()


def test_members_are_judged_by_their_own_power_and_not_by_that_of_their_mean():
    truth = noise(2, 1, 1, 16, 16)
    members = noise(20, 2, 1, 1, 16, 16, seed=1)
    family = Spectra(isotropic_bins((16, 16), "periodic", None))
    scores = Scores.of(members, truth, (family,))
    assert scores.metric("sharpness").item() == pytest.approx(1, rel=0.2)
    of_mean = Scores.of(members.mean(0), truth, (family,))
    assert of_mean.metric("sharpness").item() == pytest.approx(1 / 20, rel=0.3)
    torch.testing.assert_close(scores.metric("power_error"), of_mean.metric("power_error"))


def test_frames_with_gaps_count_nowhere():
    field = noise(3, 1, 2, 16, 16)
    holed = field.clone()
    holed[0, 0, 0, 3, 4] = torch.nan
    family = Spectra(isotropic_bins((16, 16), "windowed", None))
    ours = spectrum(family, field, holed)
    torch.testing.assert_close(ours[:, 0], spectrum(family, field[1:])[:, 0])
    torch.testing.assert_close(ours[:, 1], spectrum(family, field)[:, 1])
    nothing = Scores.of(field, torch.full_like(field, torch.nan), (family,))
    assert all(nothing.metric(name).isnan().all() for name in family.metrics)


def frames(**coordinates):
    named = {
        name: Coordinate(dims, values, {"units": units})
        for name, (dims, values, units) in coordinates.items()
    }
    return Frames(torch.zeros(1, 2, 1, 9, 16), (Channel("t"),), coordinates=named, source="t.nc")


def globe(step=22.5, count=16):
    return frames(
        y=(("y",), np.linspace(80, -80, 9), "degrees_north"),
        x=(("x",), np.arange(count) * step, "degrees_east"),
    )


def test_the_spectrum_suits_the_grid():
    assert find_bins(globe(), None, False).kind == "zonal"
    assert find_bins(globe(), "windowed", False).kind == "windowed"
    regional = find_bins(globe(1.0), None, False)
    assert (regional.kind, regional.units) == ("windowed", "km")
    plain = find_bins(frames(), None, True)
    assert (plain.kind, plain.units) == ("periodic", "cells")
    metres = frames(y=(("y",), np.arange(9) * 1e3, "m"), x=(("x",), np.arange(16) * 2e3, "m"))
    assert find_bins(metres, None, False).wavelengths[0] == pytest.approx(32)
    with pytest.raises(UserError, match=r"t.nc: --spectrum zonal needs a latitude for each row"):
        find_bins(frames(), "zonal", False)
    assert columns_wrap(globe())
    assert not columns_wrap(globe(1.0))
    assert not columns_wrap(frames())
