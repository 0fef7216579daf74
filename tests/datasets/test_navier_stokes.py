"""The Navier-Stokes solver against exact solutions, invariants and a plain definition."""

import dataclasses
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import Tensor

from conftest import held_by_another
from framecast.base.errors import UserError
from framecast.datasets.simulate.navier_stokes import (
    NavierStokes,
    diagonal_forcing,
    initial_vorticity,
    simulate,
    solve,
    trajectories,
    velocity,
)

SMALL = NavierStokes(grid=32, frames=2)
TINY = NavierStokes(grid=16, frames=3, step=0.1, interval=0.2)
COUNTS = {"train": 5, "validation": 2, "test": 2}
TRANSFORM_SIZES = [16, 21, 32, 64]


def coordinates(size: int) -> tuple[Tensor, Tensor]:
    point = torch.arange(size, dtype=torch.float64) / size
    y, x = torch.meshgrid(point, point, indexing="ij")
    return y, x


def unforced(size: int) -> Tensor:
    return torch.zeros(size, size, dtype=torch.float64)


def last(states: Iterator[Tensor]) -> Tensor:
    return list(states)[-1]


def derivative(field: Tensor, axis: int) -> Tensor:
    """Spectral derivative along y (axis 0) or x (axis 1), by the full complex transform."""
    size = field.shape[-1]
    k = 2 * math.pi * torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    factor = k[:, None] if axis == 0 else k
    return torch.fft.ifft2(1j * factor * torch.fft.fft2(field)).real


def truncate(field: Tensor) -> Tensor:
    """Remove the modes beyond the 2/3 rule."""
    size = field.shape[-1]
    kept = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).abs() < size / 3
    return torch.fft.ifft2(torch.fft.fft2(field) * (kept[:, None] & kept)).real


def tendency(w: Tensor, force: Tensor, viscosity: float) -> Tensor:
    """−u·∇w + ν∇²w + f as it is written, one derivative at a time."""
    along_x, along_y = velocity(w)
    dy, dx = derivative(w, 0), derivative(w, 1)
    laplacian = derivative(dy, 0) + derivative(dx, 1)
    return viscosity * laplacian + force - truncate(along_x * dx + along_y * dy)


def runge_kutta(w: Tensor, force: Tensor, viscosity: float, step: float, steps: int) -> Tensor:
    for _ in range(steps):
        a = tendency(w, force, viscosity)
        b = tendency(w + step / 2 * a, force, viscosity)
        c = tendency(w + step / 2 * b, force, viscosity)
        d = tendency(w + step * c, force, viscosity)
        w = w + step / 6 * (a + 2 * b + 2 * c + d)
    return w


class TestConfig:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("grid", 4),
            ("viscosity", -1e-3),
            ("viscosity", math.nan),
            ("forcing", math.inf),
            ("tau", 0.0),
            ("alpha", 1.0),
            ("step", 0.0),
            ("step", math.nan),
            ("interval", 0.0),
            ("interval", 0.015),
            ("interval", -1.0),
            ("interval", math.inf),
            ("frames", 0),
            ("coarsen", 0),
            ("coarsen", 5),
        ],
    )
    def test_a_value_out_of_range_is_named_with_its_remedy(self, key: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"^{key}={value}: must be "):
            NavierStokes(**{key: value})

    def test_an_interval_of_whole_steps_is_found_despite_rounding(self) -> None:
        assert NavierStokes(step=0.1, interval=0.7).steps_per_frame == 7


class TestInitialVorticity:
    def test_spectrum_is_the_one_asked_for(self) -> None:
        config = NavierStokes(grid=16, tau=5.0, alpha=2.5)
        power = torch.fft.fft2(initial_vorticity(config, range(2000))).abs().square().mean(0)
        k = torch.fft.fftfreq(16, 1 / 16, dtype=torch.float64)
        shell = k[:, None] ** 2 + k**2
        expected = 16**4 * 2 * 5.0**3 * (4 * math.pi**2 * shell + 25) ** -2.5
        for radius in range(1, 8):
            ring = (shell.sqrt().round() == radius).nonzero(as_tuple=True)
            ratio = (power / expected)[ring].mean().item()
            # 2000 samples of at least 4 independent modes: a standard error of 1.1 %.
            assert ratio == pytest.approx(1, abs=0.05)

    def test_values_are_gaussian_with_mean_zero_on_every_field(self) -> None:
        fields = initial_vorticity(NavierStokes(grid=16), range(2000))
        torch.testing.assert_close(fields.mean((1, 2)), torch.zeros(2000).double())
        standard = fields[:, 3, 5] / fields[:, 3, 5].std()
        assert standard.pow(3).mean().item() == pytest.approx(0, abs=0.2)
        assert standard.pow(4).mean().item() == pytest.approx(3, abs=0.4)

    def test_a_seed_says_it_all(self) -> None:
        first, second, again = initial_vorticity(NavierStokes(), [7, 8, 7])
        assert torch.equal(first, again)
        assert not torch.equal(first, second)


class TestVelocity:
    @pytest.mark.parametrize("size", TRANSFORM_SIZES)
    def test_has_no_divergence_no_mean_and_the_given_curl(self, size: int) -> None:
        w = truncate(initial_vorticity(NavierStokes(grid=size, coarsen=1), range(2)))
        along_x, along_y = velocity(w)
        divergence = derivative(along_x, 1) + derivative(along_y, 0)
        curl = derivative(along_y, 1) - derivative(along_x, 0)
        torch.testing.assert_close(divergence, torch.zeros_like(w), atol=1e-13, rtol=0)
        torch.testing.assert_close(curl, w, atol=1e-13, rtol=0)
        assert max(along_x.mean().abs(), along_y.mean().abs()) < 1e-15

    def test_of_shear_along_x_is_closed_form(self) -> None:
        y, _ = coordinates(32)
        along_x, along_y = velocity((2 * math.pi * (2 * math.pi * y).sin())[None])
        torch.testing.assert_close(along_x[0], (2 * math.pi * y).cos(), atol=1e-14, rtol=0)
        torch.testing.assert_close(along_y[0], torch.zeros_like(y), atol=1e-14, rtol=0)


class TestSolve:
    @pytest.mark.parametrize("size", TRANSFORM_SIZES)
    def test_agrees_with_the_equation_as_it_is_written(self, size: int) -> None:
        config = NavierStokes(grid=size, coarsen=1, frames=2, step=1e-3, interval=0.2)
        w = truncate(initial_vorticity(config, range(2)))
        truth = runge_kutta(w, diagonal_forcing(config), config.viscosity, 1e-2, 20)
        ours = last(solve(config, w, diagonal_forcing(config)))
        torch.testing.assert_close(ours, truth, atol=2e-6, rtol=0)
        assert (truth - w).abs().max() > 1e-2

    @pytest.mark.parametrize("mode", [1, 3])
    def test_taylor_green_vortices_decay_as_they_must(self, mode: int) -> None:
        y, x = (2 * math.pi * mode * axis for axis in coordinates(32))
        w = (2 * x.cos() * y.cos())[None]
        rate = 8 * math.pi**2 * mode**2 * SMALL.viscosity
        ours = last(solve(SMALL, w, unforced(32)))
        crank_nicolson = ((1 - rate * 5e-3) / (1 + rate * 5e-3)) ** 100
        torch.testing.assert_close(ours, w * crank_nicolson, atol=1e-13, rtol=0)
        torch.testing.assert_close(ours, w * math.exp(-rate), atol=2e-5 * rate**3, rtol=0)

    def test_stays_where_viscosity_balances_the_forcing(self) -> None:
        force = diagonal_forcing(SMALL)
        w = (force / (8 * math.pi**2 * SMALL.viscosity))[None]
        torch.testing.assert_close(last(solve(SMALL, w, force)), w, atol=1e-12, rtol=0)

    def test_is_of_second_order_in_time_from_the_first_step(self) -> None:
        w = initial_vorticity(SMALL, [0]) * 4
        ends = [
            last(solve(dataclasses.replace(SMALL, step=step), w, diagonal_forcing(SMALL)))
            for step in (0.02, 0.01, 0.005, 0.0025)
        ]
        changes = [(coarse - fine).norm() for coarse, fine in pairwise(ends)]
        for coarse, fine in pairwise(changes):
            assert math.log2(coarse / fine) == pytest.approx(2, abs=0.05)

    def test_keeps_the_enstrophy_budget(self) -> None:
        config = NavierStokes(grid=32, frames=3, step=1e-3, interval=1e-3)
        force = diagonal_forcing(config)
        before, now, after = solve(config, initial_vorticity(config, range(3)), force)
        enstrophy = [w.square().mean((1, 2)) / 2 for w in (before, after)]
        gradient = derivative(now, 0).square() + derivative(now, 1).square()
        budget = (now * force - config.viscosity * gradient).mean((1, 2))
        change = (enstrophy[1] - enstrophy[0]) / (2 * config.step)
        torch.testing.assert_close(change, budget, atol=1e-7, rtol=0)
        assert budget.abs().min() > 1e-3

    def test_without_viscosity_and_forcing_energy_and_enstrophy_stay(self) -> None:
        config = NavierStokes(grid=32, viscosity=0.0, frames=2, step=2e-3)
        w = truncate(initial_vorticity(config, range(2)))
        end = last(solve(config, w, unforced(32)))
        for quantity in (lambda w: w, lambda w: torch.stack(velocity(w))):
            torch.testing.assert_close(
                quantity(end).square().mean(), quantity(w).square().mean(), atol=0, rtol=1e-7
            )
        assert (end - w).abs().max() > 0.1

    def test_keeps_the_mean_at_zero(self) -> None:
        for w in solve(SMALL, initial_vorticity(SMALL, range(3)), diagonal_forcing(SMALL)):
            assert w.mean((1, 2)).abs().max() < 1e-15

    def test_moves_with_its_first_state(self) -> None:
        w = initial_vorticity(SMALL, [0])
        ours = last(solve(SMALL, w.roll((3, -5), (1, 2)), unforced(32)))
        moved = last(solve(SMALL, w, unforced(32))).roll((3, -5), (1, 2))
        torch.testing.assert_close(ours, moved, atol=1e-13, rtol=0)

    def test_computes_in_the_precision_of_its_input(self) -> None:
        w = initial_vorticity(SMALL, [0])
        single = last(solve(SMALL, w.float(), diagonal_forcing(SMALL)))
        assert single.dtype == torch.float32
        double = last(solve(SMALL, w, diagonal_forcing(SMALL)))
        torch.testing.assert_close(single.double(), double, atol=2e-6, rtol=0)

    def test_leaves_its_input_alone_and_yields_states_of_their_own(self) -> None:
        w = initial_vorticity(TINY, [0])
        kept = w.clone()
        first, *others = solve(TINY, w, diagonal_forcing(TINY))
        assert torch.equal(w, kept)
        torch.testing.assert_close(first, truncate(w), atol=1e-14, rtol=0)
        assert not any(torch.equal(first, other) for other in others)

    def test_a_flow_does_not_depend_on_its_batch(self) -> None:
        w = initial_vorticity(NavierStokes(), range(7))
        config = NavierStokes(frames=2, interval=0.1)
        together = last(solve(config, w, diagonal_forcing(config)))
        for size in (1, 3):
            apart = [last(solve(config, part, diagonal_forcing(config))) for part in w.split(size)]
            # Some processors' FFT adds in another order in another batch.
            torch.testing.assert_close(torch.cat(apart), together, rtol=0, atol=1e-12)

    def test_says_so_when_the_step_is_too_long(self) -> None:
        w = initial_vorticity(SMALL, [0]) * 1e4
        with pytest.raises(ValueError, match=r"step=0\.01: the flow grew without bound before t"):
            last(solve(SMALL, w, unforced(32)))

    def test_fields_must_be_of_the_grid(self) -> None:
        with pytest.raises(ValueError, match=r"grid=32: vorticity of \(1, 16, 16\) and force of"):
            last(solve(SMALL, torch.zeros(1, 16, 16), unforced(16)))


class TestTrajectories:
    def test_frames_are_block_means_of_the_states(self) -> None:
        ours = trajectories(TINY, [3])
        states = solve(TINY, initial_vorticity(TINY, [3]), diagonal_forcing(TINY))
        for frame, state in zip(ours[0], states, strict=True):
            blocks = state[0].numpy().reshape(4, 4, 4, 4).mean((1, 3))
            np.testing.assert_allclose(frame.numpy(), blocks, rtol=1e-5, atol=1e-7)

    def test_forcing_is_the_one_of_the_paper(self) -> None:
        force = diagonal_forcing(NavierStokes(grid=8, forcing=0.3))
        expected = 0.3 * (math.sin(2 * math.pi * 5 / 8) + math.cos(2 * math.pi * 5 / 8))
        assert force[2, 3].item() == pytest.approx(expected, abs=1e-15)

    def test_statistics_are_those_of_an_independent_trial(self) -> None:
        frames = trajectories(NavierStokes(frames=31), range(8))
        assert frames[:, 20].std().item() == pytest.approx(0.94, rel=0.15)
        for lead, error in {1: 0.12, 2: 0.25, 5: 0.60, 10: 0.92}.items():
            persistence = (frames[:, 20 + lead] - frames[:, 20]).square().mean().sqrt()
            assert persistence.item() == pytest.approx(error, rel=0.2)


class TestSimulate:
    def test_xarray_reads_what_was_made_and_how(self, tmp_path: Path) -> None:
        simulate(tmp_path / "new" / "folder", TINY, COUNTS, seed=3, batch=2, progress=False)
        with xarray.open_zarr(tmp_path / "new" / "folder" / "train.zarr", chunks=None) as train:
            assert train.vorticity.dims == ("trajectory", "time", "y", "x")
            assert train.vorticity.shape == (5, 3, 4, 4)
            np.testing.assert_allclose(train.time, [0, 0.2, 0.4])
            np.testing.assert_allclose(train.x, [1.5 / 16, 5.5 / 16, 9.5 / 16, 13.5 / 16])
            assert train.attrs.items() >= dataclasses.asdict(TINY).items()
            assert (train.attrs["seed"], train.attrs["split"]) == (3, "train")
            assert np.isfinite(train.vorticity).all()

    def test_the_batch_changes_nothing(self, tmp_path: Path) -> None:
        for batch in (1, 3, 7):
            simulate(tmp_path / str(batch), TINY, COUNTS, batch=batch, progress=False)
        for split in COUNTS:
            one, three, seven = (
                xarray.open_zarr(tmp_path / batch / f"{split}.zarr", chunks=None).load()
                for batch in ("1", "3", "7")
            )
            assert one.identical(three)
            assert one.identical(seven)

    def test_every_trajectory_is_another_and_the_seed_changes_them(self, tmp_path: Path) -> None:
        first = []
        for seed in (0, 1):
            simulate(tmp_path / str(seed), TINY, COUNTS, seed=seed, progress=False)
            for split in COUNTS:
                store = tmp_path / str(seed) / f"{split}.zarr"
                frames = xarray.open_zarr(store, chunks=None).vorticity.values
                first.extend(frame.tobytes() for frame in frames[:, 0])
        assert len(set(first)) == 2 * sum(COUNTS.values())

    def test_a_data_set_in_the_making_is_left_to_its_process(self, tmp_path: Path) -> None:
        with (
            held_by_another(tmp_path / "data") as process,
            pytest.raises(UserError, match=f"data is in use by process {process.pid} on "),
        ):
            simulate(tmp_path / "data", TINY, COUNTS, progress=False)

    def test_another_config_is_refused_before_anything_is_computed(self, tmp_path: Path) -> None:
        simulate(tmp_path, TINY, {"test": 1}, progress=False)
        other = dataclasses.replace(TINY, viscosity=2e-3)
        with pytest.raises(ValueError, match=r"test\.zarr.* viscosity=0\.001, not 0\.002"):
            simulate(tmp_path, other, {"train": 10**6, "test": 1}, progress=False)

    def test_progress_is_on_stderr_and_can_be_silent(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        simulate(tmp_path / "silent", TINY, {"test": 2}, progress=False)
        assert capsys.readouterr() == ("", "")
        simulate(tmp_path / "shown", TINY, {"test": 2})
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "2/2" in shown.err
