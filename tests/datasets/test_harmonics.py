"""Spherical harmonics and their transforms against SciPy's harmonics and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch import Tensor

from framecast.datasets.simulate.sphere import Points, Sphere, legendre

TRUNCATIONS = [2, 21, 42]


def random_spectrum(truncation: int, kinds: int = 1, flows: int = 1) -> Tensor:
    size = (kinds, flows, truncation + 1, truncation + 1)
    real, imaginary = np.random.default_rng(truncation).standard_normal((2, *size))
    imaginary[..., 0, :] = 0
    return torch.from_numpy(np.triu(real + 1j * imaginary)).permute(2, 3, 0, 1).contiguous()


def by_harmonics(spectrum: Tensor, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """The sum of SciPy's complex harmonics, term by term, at a grid of points in degrees."""
    colatitude = np.deg2rad(90 - latitude)[:, None]
    field = np.zeros((len(latitude), len(longitude)))
    for m, row in enumerate(spectrum[:, :, 0, 0].numpy()):
        for degree in range(m, len(row)):
            harmonic = sph_harm_y(degree, m, colatitude, np.deg2rad(longitude))
            term = row[degree] * harmonic * math.sqrt(2 * math.pi)
            field += (1 if m == 0 else 2) * term.real
    return field


class TestSphere:
    @pytest.mark.parametrize(
        ("truncation", "shape"), [(21, (32, 64)), (42, (64, 128)), (85, (128, 256))]
    )
    def test_grid_is_the_one_known_for_the_truncation(
        self, truncation: int, shape: tuple[int, int]
    ) -> None:
        sphere = Sphere(truncation)
        assert (len(sphere.latitude), len(sphere.longitude)) == shape
        assert (np.diff(sphere.latitude) > 0).all()

    def test_fields_are_sums_of_harmonics(self) -> None:
        sphere, spectrum = Sphere(7), random_spectrum(7)
        expected = by_harmonics(spectrum, sphere.latitude, sphere.longitude)
        np.testing.assert_allclose(sphere.field(spectrum)[0, 0], expected, atol=1e-12)

    @pytest.mark.parametrize("truncation", TRUNCATIONS)
    def test_analysis_is_the_inverse_of_synthesis(self, truncation: int) -> None:
        sphere, spectrum = Sphere(truncation), random_spectrum(truncation, 2, 3)
        again = sphere.spectrum(sphere.field(spectrum))
        torch.testing.assert_close(again, spectrum, atol=1e-12, rtol=0)

    def test_products_are_analysed_without_aliasing(self) -> None:
        coarse, fine = Sphere(21), Sphere(42)
        spectrum = random_spectrum(21)
        wide = torch.zeros(43, 43, 1, 1, dtype=torch.complex128)
        wide[:22, :22] = spectrum
        ours = coarse.spectrum(coarse.field(spectrum).square())
        truth = fine.spectrum(fine.field(wide).square())[:22, :22]
        torch.testing.assert_close(ours, truth, atol=1e-12, rtol=1e-12)

    @pytest.mark.parametrize("truncation", TRUNCATIONS)
    def test_laplacian_and_its_inverse(self, truncation: int) -> None:
        sphere, spectrum = Sphere(truncation), random_spectrum(truncation)[..., 0]
        again = sphere.inverse[..., 0] * (sphere.laplacian[..., 0] * spectrum)
        spectrum[:, 0] = 0
        torch.testing.assert_close(again, spectrum)

    def test_slopes_are_derivatives_along_latitude(self) -> None:
        step = 1e-4
        latitude = np.linspace(-80, 80, 9)
        north, south = (legendre(21, latitude + sign * step)[0] for sign in (1, -1))
        cosine = torch.from_numpy(np.cos(np.deg2rad(latitude)))[:, None]
        differences = cosine * (north - south) / (2 * math.radians(step))
        torch.testing.assert_close(legendre(21, latitude)[1], differences, atol=1e-6, rtol=0)

    def test_curl_of_solid_rotation_is_twice_the_sine_of_latitude(self) -> None:
        sphere = Sphere(21)
        east = sphere.cosine.square().expand(-1, len(sphere.longitude))[None, None]
        curl = sphere.field(sphere.curl(east, torch.zeros_like(east)))
        expected = (2 * sphere.sine).expand_as(curl)
        torch.testing.assert_close(curl, expected, atol=1e-12, rtol=0)

    def test_curl_of_a_gradient_is_nothing(self) -> None:
        sphere, spectrum = Sphere(21), random_spectrum(21)
        spectrum[:, -1] = 0
        north = sphere.grid(sphere.slope_rows(spectrum))
        east = sphere.grid(sphere.east * sphere.rows(spectrum))
        curl = sphere.curl(east, north)
        torch.testing.assert_close(curl, torch.zeros_like(curl), atol=1e-10, rtol=0)

    def test_mean_is_that_over_the_area(self) -> None:
        sphere = Sphere(21)
        square = sphere.sine.square().expand(-1, len(sphere.longitude))[None, None]
        assert sphere.mean(square).item() == pytest.approx(1 / 3, abs=1e-14)
        spectrum = random_spectrum(21)
        expected = spectrum[0, 0].real / math.sqrt(2)
        torch.testing.assert_close(sphere.mean(sphere.field(spectrum)), expected)


class TestPoints:
    @pytest.mark.parametrize("columns", [5, 16, 64])
    def test_values_are_exact_however_few_points_there_are(self, columns: int) -> None:
        latitude = np.array([-87.1875, -3.0, 41.5])
        spectrum = random_spectrum(11)
        values = Points(11, latitude, columns).field(spectrum)[0, 0]
        expected = by_harmonics(spectrum, latitude, np.arange(columns) * 360 / columns)
        np.testing.assert_allclose(values, expected, atol=1e-12)
