"""The shallow-water solver against exact solutions, waves, invariants and published cases."""

import dataclasses
import math
from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from framecast.base.errors import UserError
from framecast.datasets.simulate.jets import (
    PUBLISHED,
    Jet,
    mountains,
    published_jet,
    random_waves,
    zonal_vorticity,
)
from framecast.datasets.simulate.rotating import (
    GRAVITY,
    RADIUS,
    ROTATION,
    State,
    Surroundings,
    balanced,
    coriolis,
    energy,
    fields,
    solve,
)
from framecast.datasets.simulate.sphere import Sphere

DAY = 86400


def earth(sphere: Sphere, depth: float = 1e4, orography: float = 0.0) -> Surroundings:
    ground = mountains(sphere, orography)
    return Surroundings(coriolis=coriolis(sphere), mean=GRAVITY * depth, ground=ground)


def rough(sphere: Sphere, around: Surroundings, seeds: range = range(2)) -> State:
    """Jets with waves of 100 m in vorticity and height: far from balance and from symmetry."""
    waves = [random_waves(np.random.default_rng(seed), sphere.truncation) for seed in seeds]
    vorticity = zonal_vorticity(sphere, [Jet(40.0, 40.0, 30.0), Jet(50.0, -45.0, 30.0)])
    state = balanced(sphere, around, vorticity + 5e-6 * torch.cat(waves, dim=-1))
    state[:, :, 2] += GRAVITY * 100 * torch.cat(waves, dim=-1).roll(1, -1)
    return state


def after(sphere: Sphere, around: Surroundings, state: State, step: float, steps: int) -> State:
    return next(islice(solve(sphere, around, state, float(step), steps), 1, None))


def solid_rotation(sphere: Sphere, tilt: float) -> tuple[Tensor, Tensor]:
    """Williamson's test 2: vorticity and geopotential of zonal flow around a tilted axis."""
    speed = 2 * math.pi * RADIUS / (12 * DAY)
    sine = coriolis(sphere, tilt) / (2 * ROTATION)
    geopotential = 2.94e4 - (RADIUS * ROTATION * speed + speed**2 / 2) * sine.square()
    return 2 * speed / RADIUS * sine, geopotential


def angular_momentum(sphere: Sphere, around: Surroundings, state: State) -> Tensor:
    """Mean of h·cos φ·(u + Ω·a·cos φ): conserved where the ground is level."""
    _, geopotential, east, _ = fields(sphere, state)
    speed = east + ROTATION * RADIUS * sphere.cosine.square()
    return sphere.mean((geopotential * speed)[None])[0]


def potential_enstrophy(sphere: Sphere, around: Surroundings, state: State) -> Tensor:
    """Mean of h·q², with q = (ζ + f)/h carried by the flow."""
    vorticity, geopotential, _, _ = fields(sphere, state)
    return sphere.mean(((vorticity + around.coriolis).square() / geopotential)[None])[0]


class TestExactSolutions:
    @pytest.mark.parametrize("tilt", [0.0, 2.9, 45.0, 90.0])
    def test_steady_zonal_flow_stays(self, tilt: float) -> None:
        sphere = Sphere(21)
        vorticity, geopotential = solid_rotation(sphere, tilt)
        around = Surroundings(coriolis(sphere, tilt), 2.94e4, mountains(sphere, 0.0))
        state = sphere.spectrum(torch.stack([vorticity, vorticity * 0, geopotential])[:, None])
        end = fields(sphere, after(sphere, around, state, 1200, 5 * 72))
        error = (end[1, 0] - geopotential).abs().max() / geopotential.max()
        assert error < 1e-12
        torch.testing.assert_close(end[0, 0], vorticity, atol=1e-16, rtol=0)

    @pytest.mark.parametrize("tilt", [0.0, 60.0])
    def test_balance_of_solid_rotation_is_closed_form(self, tilt: float) -> None:
        sphere = Sphere(21)
        vorticity, geopotential = solid_rotation(sphere, tilt)
        mean = sphere.mean(geopotential[None, None]).item()
        around = Surroundings(coriolis(sphere, tilt), mean, mountains(sphere, 0.0))
        spectrum = sphere.spectrum(vorticity[None, None])[:, :, 0]
        ours = fields(sphere, balanced(sphere, around, spectrum))[1, 0]
        torch.testing.assert_close(ours, geopotential, atol=1e-8, rtol=0)

    def test_water_at_rest_over_mountains_stays_at_rest(self) -> None:
        sphere = Sphere(21)
        around = dataclasses.replace(earth(sphere, orography=2000.0), diffusion=3600.0)
        still = balanced(sphere, around, torch.zeros(22, 22, 1, dtype=torch.complex128))
        end = after(sphere, around, still, 1200, 72)
        _, geopotential, east, north = fields(sphere, end)[:, 0]
        surface = geopotential + sphere.field(around.ground)[0, 0]
        torch.testing.assert_close(surface, torch.full_like(surface, around.mean))
        assert max(east.abs().max(), north.abs().max()) < 1e-8
        assert geopotential.min() < around.mean - 0.9 * 2000 * GRAVITY

    @pytest.mark.parametrize("degree", [1, 4, 21])
    def test_small_waves_have_the_speed_and_the_decay_of_gravity_waves(self, degree: int) -> None:
        sphere = Sphere(21)
        around = Surroundings(
            coriolis=0 * coriolis(sphere),
            mean=5e4,
            ground=mountains(sphere, 0.0),
            diffusion=50 * 3600.0,
            damping=10 * 3600.0,
            relaxation=100 * 3600.0,
        )
        state = torch.zeros(22, 22, 3, 1, dtype=torch.complex128)
        state[0, 0, 2] = math.sqrt(2) * 5e4
        state[min(degree, 3), degree, 2] = 1e-3
        end = after(sphere, around, state, 20, 540)
        time, square = 20 * 540, degree * (degree + 1)
        rate = (square / (21 * 22)) ** 2 / around.diffusion + 1 / around.relaxation
        half = 1 / (2 * around.damping)
        frequency = math.sqrt(square * 5e4 / RADIUS**2 - half**2)
        wave = math.cos(frequency * time) + half / frequency * math.sin(frequency * time)
        expected = math.exp(-(rate + half) * time) * wave
        ratio = end[min(degree, 3), degree, 2].item() / 1e-3
        assert ratio == pytest.approx(expected, abs=4e-3)

    def test_relaxation_leads_to_the_target(self) -> None:
        sphere = Sphere(21)
        around = earth(sphere)
        target = balanced(sphere, around, zonal_vorticity(sphere, [Jet(30.0, 40.0, 30.0)]))
        around = dataclasses.replace(around, relaxation=6 * 3600.0, target=target)
        still = balanced(sphere, around, 0 * target[:, :, 0])
        states = islice(solve(sphere, around, still, 1200.0, 72), 4)
        distances = [(state - target).norm() for state in states]
        for late, early in pairwise(reversed(distances)):
            assert math.exp(-4) / 3 < late / early < math.exp(-4) * 3

    def test_rossby_haurwitz_waves_travel_at_their_speed(self) -> None:
        """Williamson's test 6, whose wave of order 4 moves by 12.19° a day without divergence."""
        sphere = Sphere(42)
        rate, order = 7.848e-6, 4
        longitude = torch.from_numpy(sphere.longitude).deg2rad()
        zonal = 2 * rate * sphere.sine
        wave = rate * sphere.sine * sphere.cosine**order * (order + 1) * (order + 2)
        vorticity = zonal - wave * (order * longitude).cos()
        around = earth(sphere, depth=9500.0)
        state = balanced(sphere, around, sphere.spectrum(vorticity[None, None])[:, :, 0])
        end = after(sphere, around, state, 600, 144)
        before, now = (x[order, order + 1, 0, 0] for x in (state, end))
        moved = math.degrees(-(now / before).angle().item()) / order
        theory = (order * (3 + order) * rate - 2 * ROTATION) / ((1 + order) * (2 + order))
        # The divergence of shallow water slows it: by Haurwitz's theory, less than a tenth.
        assert 0.9 < moved / math.degrees(theory * DAY) < 1
        assert now.abs() / before.abs() == pytest.approx(1, abs=0.01)
        others = [m for m in range(43) if m % order]
        assert end[others].abs().max() < 1e-12 * end.abs().max()


class TestInvariants:
    def test_mass_stays_to_the_last_bit(self) -> None:
        sphere = Sphere(21)
        around = earth(sphere, 5500.0, orography=1000.0)
        state = rough(sphere, around)
        target = balanced(sphere, around, state[:, :, 0])
        around = dataclasses.replace(around, diffusion=1e4, relaxation=1e6, target=target)
        end = after(sphere, around, state, 1200, 72)
        assert torch.equal(end[0, 0, 2], state[0, 0, 2])
        assert not torch.equal(end[0, 1, 2], state[0, 1, 2])

    @pytest.mark.parametrize("orography", [0.0, 1000.0])
    def test_energy_stays_but_for_the_error_of_the_step(self, orography: float) -> None:
        sphere = Sphere(21)
        around = earth(sphere, 5500.0, orography)
        state = rough(sphere, around)
        still = balanced(sphere, around, 0 * state[:, :, 0])
        first = energy(sphere, around, state)
        for step, most in ((1200, 1e-3), (300, 5e-5)):
            end = after(sphere, around, state, step, DAY // 2 // step)
            drift = energy(sphere, around, end) - first
            assert (drift.abs() < most * (first - energy(sphere, around, still))).all()

    def test_diffusion_takes_energy_all_the_time(self) -> None:
        sphere = Sphere(21)
        around = dataclasses.replace(earth(sphere, 5500.0), diffusion=6 * 3600.0)
        states = solve(sphere, around, rough(sphere, around), 600.0, 36)
        energies = [energy(sphere, around, state) for state in islice(states, 9)]
        assert all((late < early).all() for early, late in pairwise(energies))

    @pytest.mark.parametrize("quantity", [angular_momentum, potential_enstrophy])
    def test_what_the_equations_conserve_stays_to_the_order_of_the_step(
        self, quantity: Callable[[Sphere, Surroundings, State], Tensor]
    ) -> None:
        sphere = Sphere(42)
        around = earth(sphere, 5500.0)
        state = rough(sphere, around)
        first = quantity(sphere, around, state)
        coarse, fine = (
            quantity(sphere, around, after(sphere, around, state, step, DAY // 2 // step)) / first
            for step in (600, 300)
        )
        assert ((coarse - 1).abs() < 5e-5).all()
        assert ((fine - 1).abs() < (coarse - 1).abs() / 3.5).all()


class TestSolve:
    def test_is_of_second_order_in_time(self) -> None:
        sphere = Sphere(21)
        around = dataclasses.replace(earth(sphere, 5500.0, orography=500.0), diffusion=2e5)
        state = rough(sphere, around)
        ends = [
            after(sphere, around, state, step, 6 * 3600 // step) for step in (600, 300, 150, 75)
        ]
        changes = [(coarse - fine)[:, :, 2].norm() for coarse, fine in pairwise(ends)]
        for coarse, fine in pairwise(changes):
            assert math.log2(coarse / fine) == pytest.approx(2, abs=0.15)

    def test_converges_in_space_faster_than_any_power(self) -> None:
        spectra = []
        for truncation in (21, 31, 42, 85):
            sphere = Sphere(truncation)
            around = earth(sphere, 5500.0)
            end = after(sphere, around, rough(sphere, around), 200, 108)
            spectra.append(end[:22, :22, 0])
        errors = [(spectrum - spectra[-1]).norm() / spectra[-1].norm() for spectrum in spectra[:-1]]
        orders = [
            math.log(coarse / fine) / math.log(t / s)
            for (coarse, fine), (s, t) in zip(pairwise(errors), [(21, 31), (31, 42)], strict=True)
        ]
        assert orders[1] > orders[0] > 4

    def test_a_flow_does_not_depend_on_those_beside_it(self) -> None:
        sphere = Sphere(21)
        around = earth(sphere, 5500.0)
        state = rough(sphere, around, range(4))
        other = torch.cat([state[..., 3:], state[..., 1:3], state[..., :1]], dim=-1)
        ends = [after(sphere, around, x, 1200, 9) for x in (state, other)]
        assert torch.equal(ends[0][..., 1:3], ends[1][..., 1:3])
        alone = after(sphere, around, state[..., 1:2], 1200, 9)
        torch.testing.assert_close(alone, ends[0][..., 1:2], rtol=1e-10, atol=1e-14)

    def test_yields_the_first_state_and_leaves_it_alone(self) -> None:
        sphere = Sphere(21)
        around = earth(sphere, 5500.0)
        state = rough(sphere, around)
        kept = state.clone()
        first, second = islice(solve(sphere, around, state, 1200.0, 3), 2)
        assert torch.equal(first, kept)
        assert torch.equal(state, kept)
        assert not torch.equal(second, first)

    def test_says_so_when_the_step_is_too_long(self) -> None:
        sphere = Sphere(42)
        around = earth(sphere, 5500.0)
        with pytest.raises(UserError, match=r"step=7200: the flow grew without bound before \d+ h"):
            list(islice(solve(sphere, around, 8 * rough(sphere, around), 7200.0, 1), 400))


class TestGalewsky:
    def test_balanced_height_is_the_integral_of_the_paper(self) -> None:
        sphere = Sphere(106)
        around = earth(sphere)
        state = balanced(sphere, around, zonal_vorticity(sphere, [PUBLISHED]))
        height = fields(sphere, state)[1, 0, :, 0] / GRAVITY

        def slope(latitude: float) -> float:
            wind = PUBLISHED.wind(np.rad2deg([latitude]))[0]
            sine = math.sin(latitude)
            return wind * (2 * ROTATION * sine + math.tan(latitude) * wind / RADIUS)

        for row in range(90, 150, 8):
            fall, _ = quad(slope, 0, math.radians(sphere.latitude[row]), limit=200)
            expected = height[0] - RADIUS / GRAVITY * fall
            assert height[row].item() == pytest.approx(expected.item(), abs=0.01)
        # The height at the equator that gives a mean of 10 km, as others have computed it.
        assert height[0].item() == pytest.approx(10158.186, abs=1e-3)

    @pytest.mark.slow
    def test_the_instability_develops_as_published(self) -> None:
        """The jet is smooth for three days, and has rolled up into vortices by day 6."""
        sphere = Sphere(85)
        around = earth(sphere)
        states = solve(sphere, around, published_jet(sphere, around), 300.0, DAY // 300)
        days = [fields(sphere, state)[:, 0] for state in islice(states, 7)]
        wave = [(day[0] - day[0].mean(-1, keepdim=True)).abs().max().item() for day in days]
        assert wave[3] < 5e-5
        assert wave[6] > 1e-4
        assert 1.3e-4 < days[6][0].max() < 1.9e-4
        assert -1.6e-4 < days[6][0].min() < -1e-4
        quiet = torch.from_numpy(sphere.latitude) < 10
        assert (days[6][0] - days[0][0])[quiet].abs().max() < 1e-5
