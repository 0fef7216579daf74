"""The shallow-water stand-in: its settings, its flows and its stores."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import Tensor

from framecast.base.errors import UserError
from framecast.datasets.simulate import shallow_water
from framecast.datasets.simulate.rotating import GRAVITY, fields
from framecast.datasets.simulate.shallow_water import (
    GROUP,
    LATITUDE,
    ShallowWater,
    first_states,
    simulate,
    surroundings,
    trajectories,
)
from framecast.datasets.simulate.sphere import Points, Sphere

SMALL = ShallowWater(truncation=21, step=1800.0, frames=3, spin_up=0.25)
COUNTS = {"train": 3, "validation": 2, "test": 1}
AREA = np.cos(np.deg2rad(LATITUDE))[:, None] / np.cos(np.deg2rad(LATITUDE)).mean()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestConfig:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("truncation", 20),
            ("step", 0.0),
            ("step", -1200.0),
            ("step", 1000.0),
            ("step", 7200.0),
            ("step", math.nan),
            ("diffusion", -1.0),
            ("damping", math.inf),
            ("depth", 0.0),
            ("depth", math.nan),
            ("jet", -10.0),
            ("waves", -1.0),
            ("orography", 3000.0),
            ("relaxation", math.nan),
            ("spin_up", -1.0),
            ("spin_up", 0.03),
            ("frames", 0),
        ],
    )
    def test_a_value_out_of_range_is_named_with_its_remedy(self, key: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"^{key}={value}: must be "):
            ShallowWater(**{key: value})

    @pytest.mark.parametrize(
        "change",
        [
            {"truncation": 31},
            {"step": 1200.0},
            {"diffusion": 0.0},
            {"damping": 0.0},
            {"depth": 6000.0},
            {"jet": 60.0},
            {"waves": 0.0},
            {"orography": 0.0},
            {"relaxation": 0.0},
            {"spin_up": 0.5},
        ],
    )
    def test_every_setting_changes_the_flow(self, change: dict[str, float]) -> None:
        usual, other = (
            trajectories(config, [3]) for config in (SMALL, dataclasses.replace(SMALL, **change))
        )
        assert (usual - other).abs().max() > 0.5


class TestFirstStates:
    def test_jets_are_in_both_hemispheres_where_and_as_fast_as_is_said(self) -> None:
        sphere = Sphere(85)
        config = ShallowWater(truncation=85, jet=70.0)
        still, _ = first_states(config, sphere, range(20))
        wind = (fields(sphere, still)[2] / sphere.cosine)[..., 0].numpy()
        for half in (sphere.latitude > 0, sphere.latitude < 0):
            latitude = np.abs(sphere.latitude[half][wind[:, half].argmax(1)])
            assert (latitude > 42).all()
            assert (latitude < 48).all()
            assert latitude.std() > 0.5
            speed = wind[:, half].max(1)
            assert (speed > 70 * 0.93).all()
            assert (speed < 70 * 1.06).all()

    def test_waves_have_the_height_asked_for_and_no_mean(self) -> None:
        sphere = Sphere(21)
        still, moving = first_states(dataclasses.replace(SMALL, waves=50.0), sphere, range(200))
        height = sphere.field((moving - still)[:, :, 2:])[0] / GRAVITY
        square = sphere.mean(height[None].square())[0]
        # 168 independent coefficients in each of 200 fields: a standard error of 0.8 % of 2500.
        assert square.mean().item() == pytest.approx(2500, rel=0.04)
        assert sphere.mean(height[None]).abs().max() < 1e-9
        assert torch.equal(moving[:, :, :2], still[:, :, :2])

    def test_mountains_stand_where_they_are_said_to(self) -> None:
        sphere = Sphere(42)
        ground = surroundings(ShallowWater(orography=1000.0), sphere).ground
        tops = {(35.0, 90.0): 1000, (-35.0, 290.0): 1000, (45.0, 250.0): 800, (-60.0, 90.0): 0}
        for (latitude, longitude), height in tops.items():
            row = Points(42, np.array([latitude]), 36).field(ground)[0, 0, 0]
            assert row[round(longitude / 10)].item() / GRAVITY == pytest.approx(height, abs=12)
        # Fifteen degrees along the meridian from the top there is 1/e of the height.
        slope = Points(42, np.array([-50.0]), 36).field(ground)[0, 0, 0, 29].item() / GRAVITY
        assert slope == pytest.approx(1000 / math.e, abs=12)


class TestTrajectories:
    def test_frames_are_the_surface_once_an_hour(self) -> None:
        frames = trajectories(SMALL, [5])
        again = trajectories(dataclasses.replace(SMALL, spin_up=0.25 + 2 / 24, frames=1), [5])
        torch.testing.assert_close(frames[:, 2:], again, rtol=1e-7, atol=0)
        resting = dataclasses.replace(SMALL, jet=1e-9, waves=0.0, orography=2000.0)
        level = trajectories(resting, [5])
        torch.testing.assert_close(level, torch.full_like(level, 5500 * GRAVITY))

    def test_a_flow_depends_on_its_seed_and_on_nothing_else(self) -> None:
        seeds = [*range(GROUP), 40, 41]
        together = trajectories(SMALL, seeds)
        assert len({frames.numpy().tobytes() for frames in together}) == len(seeds)
        assert torch.equal(trajectories(SMALL, [0]), together[:1])
        assert torch.equal(trajectories(SMALL, [40]), together[GROUP : GROUP + 1])

    def test_mean_is_that_of_the_depth(self) -> None:
        frames = trajectories(SMALL, [1, 2]).double().numpy()
        np.testing.assert_allclose((frames * AREA).mean((-1, -2)), 5500 * GRAVITY, rtol=1e-3)

    @pytest.mark.slow
    def test_flows_vary_and_change_about_as_weather_does(self) -> None:
        """Geopotential at 500 hPa of WeatherBench: a standard deviation of 3349 m² s⁻², and a
        persistence that errs by 936 in three and by 1033 in five days."""
        frames = trajectories(ShallowWater(), range(GROUP)).double().numpy()
        anomaly = frames - 5500 * GRAVITY
        assert 2800 < np.sqrt((AREA * anomaly**2).mean()) < 3800
        errors = [
            np.sqrt((AREA * (frames[:, lead:] - frames[:, :-lead]) ** 2).mean())
            for lead in (1, 24, 72, 120)
        ]
        assert errors[0] < 40
        assert 400 < errors[1] < 750
        assert 800 < errors[2] < 1400
        assert 800 < errors[3] < 1400
        first, last = (
            np.sqrt((AREA * (frames[:, t + 24] - frames[:, t]) ** 2).mean()) for t in (0, 215)
        )
        assert last > 0.6 * first


class TestSimulate:
    def test_stores_have_the_layout_of_weatherbench_and_say_what_they_are(
        self, tmp_path: Path
    ) -> None:
        simulate(tmp_path, SMALL, COUNTS, seed=3, progress=False)
        with xarray.open_zarr(tmp_path / "train.zarr", chunks=None) as train:
            assert train.z.dims == ("trajectory", "time", "latitude", "longitude")
            assert train.z.shape == (3, 3, 32, 64)
            assert train.z.attrs["units"] == "m2 s-2"
            assert train.z.attrs["standard_name"] == "geopotential"
            np.testing.assert_array_equal(train.latitude, np.arange(-87.1875, 90, 5.625))
            np.testing.assert_array_equal(train.longitude, np.arange(64) * 5.625)
            assert train.latitude.attrs["units"] == "degrees_north"
            assert train.longitude.attrs["standard_name"] == "longitude"
            np.testing.assert_array_equal(train.time, [0, 1, 2])
            assert train.time.attrs["units"] == "h"
            assert "stand-in" in train.attrs["title"]
            assert "not observations" in train.attrs["title"]
            assert train.attrs.items() >= dataclasses.asdict(SMALL).items()
            assert np.isfinite(train.z).all()

    def test_a_data_set_is_the_same_bytes_again_and_another_with_another_seed(
        self, tmp_path: Path
    ) -> None:
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            simulate(tmp_path / name, SMALL, COUNTS, seed=seed, progress=False)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        z = [
            xarray.open_zarr(tmp_path / name / f"{split}.zarr", chunks=None).z.values
            for name in ("a", "c")
            for split in COUNTS
        ]
        flows = {flow.tobytes() for part in z for flow in part}
        assert len(flows) == 2 * sum(COUNTS.values())

    def test_a_data_set_that_was_stopped_goes_on_to_the_same_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shallow_water, "GROUP", 2)
        simulate(tmp_path / "whole", SMALL, COUNTS, progress=False)
        asked: list[Sequence[int]] = []

        def die_third(config: ShallowWater, seeds: Sequence[int]) -> Tensor:
            asked.append(seeds)
            if len(asked) == 3:
                raise KeyboardInterrupt
            return trajectories(config, seeds)

        with monkeypatch.context() as patch:
            patch.setattr(shallow_water, "trajectories", die_third)
            with pytest.raises(KeyboardInterrupt):
                simulate(tmp_path / "cut", SMALL, COUNTS, progress=False)
        assert not (tmp_path / "cut" / "validation.zarr").exists()
        simulate(tmp_path / "cut", SMALL, COUNTS, progress=False)
        assert contents(tmp_path / "cut") == contents(tmp_path / "whole")

    def test_another_config_is_refused(self, tmp_path: Path) -> None:
        simulate(tmp_path, SMALL, {"test": 1}, progress=False)
        other = dataclasses.replace(SMALL, jet=60.0)
        with pytest.raises(UserError, match=r"test\.zarr.* jet=80\.0, not 60\.0"):
            simulate(tmp_path, other, {"test": 1}, progress=False)

    def test_more_than_memory_holds_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="Choose a smaller --truncation, or fewer --frames"):
            simulate(tmp_path, ShallowWater(truncation=20000, step=1.0), COUNTS, progress=False)
