"""The store of simulated trajectories: whole, resumable, and honest about what it holds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from numpy.typing import NDArray

from conftest import largest_file
from framecast.base.errors import UserError
from framecast.datasets.simulate import trajectories
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.simulate.trajectories import (
    Axis,
    Variable,
    fill,
    open_store,
    write_stores,
)

COUNT = 7
VARIABLE = Variable(
    name="height",
    attributes={"units": "m", "long_name": "height of a surface"},
    axes={
        "time": Axis(np.array([0.0, 0.5]), "1", "time"),
        "y": Axis(np.array([1.0, 2.0, 3.0]), "m", "distance along y"),
        "x": Axis(np.array([10.0, 20.0, 30.0, 40.0]), "m", "distance along x"),
    },
)
ATTRIBUTES: dict[str, str | int | float] = {"title": "Random surfaces", "roughness": 0.1, "seed": 4}


def make(split: str, indices: range) -> NDArray[np.float32]:
    seeds = [trajectory_seed(4, split, index) for index in indices]
    values = [np.random.default_rng(seed).standard_normal((2, 3, 4)) for seed in seeds]
    return np.stack(values).astype(np.float32)


def write(path: Path, batch: int = 2) -> None:
    store = open_store(path, VARIABLE, COUNT, ATTRIBUTES)
    fill({"train": store}, make, batch, progress=False)


def write_and_die(path: Path, after: int) -> None:
    """Write some batches of two, and be interrupted in the next."""
    batches: Iterator[int] = iter(range(after))

    def make_or_die(split: str, indices: range) -> NDArray[np.float32]:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return make(split, indices)

    store = open_store(path, VARIABLE, COUNT, ATTRIBUTES)
    with pytest.raises(KeyboardInterrupt):
        fill({"train": store}, make_or_die, 2, progress=False)


def contents(path: Path) -> dict[Path, bytes]:
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[Path, bytes]:
    """The files of a store that was written without a break."""
    write(tmp_path / "whole.zarr")
    return contents(tmp_path / "whole.zarr")


class TestStores:
    def test_a_folder_that_was_stopped_goes_on_where_it_was(self, tmp_path: Path) -> None:
        asked: list[int] = []

        def make_or_die(split: str, indices: range) -> NDArray[np.float32]:
            asked.extend(indices)
            if len(asked) == 3:
                raise KeyboardInterrupt
            return make(split, indices)

        def run() -> None:
            write_stores(tmp_path, VARIABLE, {"train": 4}, lambda _: ATTRIBUTES, make_or_die, 1)

        with pytest.raises(KeyboardInterrupt):
            run()
        run()
        assert asked == [0, 1, 2, 2, 3]
        data = xarray.open_zarr(tmp_path / "train.zarr", chunks=None)
        np.testing.assert_array_equal(data.height, make("train", range(4)))


class TestStore:
    def test_xarray_reads_it_as_a_data_set(self, tmp_path: Path) -> None:
        write(tmp_path / "a.zarr")
        data = xarray.open_zarr(tmp_path / "a.zarr", chunks=None)
        assert list(data.data_vars) == ["height"]
        assert data.height.dims == ("trajectory", "time", "y", "x")
        assert data.height.dtype == np.float32
        assert data.height.attrs == {"units": "m", "long_name": "height of a surface"}
        np.testing.assert_array_equal(data.height, make("train", range(COUNT)))
        for name, axis in VARIABLE.axes.items():
            np.testing.assert_array_equal(data.coords[name], axis.values)
            assert data.coords[name].attrs["units"] == axis.units

    def test_its_attributes_say_how_it_was_made(self, tmp_path: Path) -> None:
        write(tmp_path / "a.zarr")
        attributes = xarray.open_zarr(tmp_path / "a.zarr", chunks=None).attrs
        assert attributes.items() >= ATTRIBUTES.items()
        assert attributes["Conventions"] == "CF-1.11"
        assert attributes["trajectories"] == attributes["trajectories_complete"] == COUNT
        assert attributes["framecast_version"]

    def test_trajectories_not_yet_computed_are_nan(self, tmp_path: Path) -> None:
        write_and_die(tmp_path / "a.zarr", after=1)
        assert not (tmp_path / "a.zarr").exists()
        data = xarray.open_zarr(tmp_path / ".a.begun.zarr", chunks=None)
        assert data.attrs["trajectories_complete"] == 2
        assert np.isfinite(data.height[:2]).all()
        assert np.isnan(data.height[2:]).all()

    def test_refuses_what_does_not_fit(self, tmp_path: Path) -> None:
        store = open_store(tmp_path / "a.zarr", VARIABLE, 2, ATTRIBUTES)
        for shape in [(3, 2, 3, 4), (1, 2, 4, 3)]:
            with pytest.raises(ValueError, match="do not fit"):
                store.append(np.zeros(shape, np.float32))
        assert store.complete == 0

    def test_needs_a_trajectory_and_a_batch(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="number of trajectories is 0, must be at least 1"):
            open_store(tmp_path / "a.zarr", VARIABLE, 0, ATTRIBUTES)
        assert not list(tmp_path.iterdir())
        with pytest.raises(ValueError, match="batch=0: must be at least 1"):
            fill({}, make, 0, progress=False)


class TestResume:
    @pytest.mark.parametrize("batch", [1, 2, 5])
    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_goes_on_to_the_same_bytes(
        self, tmp_path: Path, whole: dict[Path, bytes], after: int, batch: int
    ) -> None:
        write_and_die(tmp_path / "a.zarr", after)
        write(tmp_path / "a.zarr", batch)
        assert contents(tmp_path / "a.zarr") == whole

    def test_computes_only_what_is_missing(self, tmp_path: Path) -> None:
        write_and_die(tmp_path / "a.zarr", after=2)
        store = open_store(tmp_path / "a.zarr", VARIABLE, COUNT, ATTRIBUTES)
        asked = []

        def record(split: str, indices: range) -> NDArray[np.float32]:
            asked.extend(indices)
            return make(split, indices)

        fill({"train": store}, record, 2, progress=False)
        assert asked == [4, 5, 6]

    def test_heals_a_batch_that_was_cut_off_while_it_was_written(
        self, tmp_path: Path, whole: dict[Path, bytes]
    ) -> None:
        path, begun = tmp_path / "a.zarr", tmp_path / ".a.begun.zarr"
        write_and_die(path, after=1)
        chunk = Path("height", "c", "2", "0", "0", "0")
        (begun / chunk).parent.mkdir(parents=True)
        (begun / chunk).write_bytes(whole[chunk][:10])
        (begun / "zarr.0123abcd.partial").write_bytes(b"{")
        (begun / chunk.parent / "0.0123abcd.partial").write_bytes(b"")
        write(path)
        assert contents(path) == whole

    def test_begins_anew_where_the_layout_was_cut_off(
        self, tmp_path: Path, whole: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(path: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(zarr, "consolidate_metadata", die)
            with pytest.raises(KeyboardInterrupt):
                write(tmp_path / "a.zarr")
        assert not (tmp_path / "a.zarr").exists()
        write(tmp_path / "a.zarr")
        assert contents(tmp_path / "a.zarr") == whole
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "whole.zarr"]

    def test_leaves_a_finished_store_alone(self, tmp_path: Path) -> None:
        write(tmp_path / "a.zarr")
        times = {file: file.stat().st_mtime_ns for file in (tmp_path / "a.zarr").rglob("*")}
        write(tmp_path / "a.zarr")
        assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "a.zarr").rglob("*")}


class TestRefusal:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"roughness": 0.2}, r"roughness=0\.1, not 0\.2"),
            ({"seed": 5}, r"seed=4, not 5"),
            ({"colour": "red"}, r"colour=None, not 'red'"),
        ],
    )
    def test_names_the_attribute_that_differs(
        self, tmp_path: Path, change: dict[str, str | int | float], message: str
    ) -> None:
        write(tmp_path / "a.zarr")
        with pytest.raises(ValueError, match=message):
            open_store(tmp_path / "a.zarr", VARIABLE, COUNT, ATTRIBUTES | change)

    def test_names_an_attribute_that_is_no_longer_given(self, tmp_path: Path) -> None:
        write(tmp_path / "a.zarr")
        with pytest.raises(ValueError, match=r"seed=4, not None"):
            open_store(
                tmp_path / "a.zarr", VARIABLE, COUNT, {"title": "Random surfaces", "roughness": 0.1}
            )

    def test_another_count_is_another_store(self, tmp_path: Path) -> None:
        write(tmp_path / "a.zarr")
        with pytest.raises(ValueError, match="trajectories=7, not 8"):
            open_store(tmp_path / "a.zarr", VARIABLE, COUNT + 1, ATTRIBUTES)

    def test_versions_are_not_mixed_but_a_finished_store_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "finished.zarr")
        write_and_die(tmp_path / "unfinished.zarr", after=1)
        monkeypatch.setattr(trajectories, "package_version", lambda: "9.9")
        write(tmp_path / "finished.zarr")
        with pytest.raises(ValueError, match=r"framecast_version=.* not '9\.9'"):
            write(tmp_path / "unfinished.zarr")

    @pytest.mark.parametrize("kind", ["file", "folder", "foreign", "cut"])
    def test_a_path_that_holds_something_else_is_left_as_it_is(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = tmp_path / "a.zarr"
        if kind == "file":
            path.write_text("text")
        elif kind == "foreign":
            zarr.create_group(path, attributes={"title": "mine"})
        else:
            path.mkdir()
            (path / "zarr.json" if kind == "cut" else path / "notes.txt").write_text('{"attri')
        files = contents(tmp_path)
        with pytest.raises(ValueError, match="is not a store of simulated trajectories; move it"):
            open_store(path, VARIABLE, COUNT, ATTRIBUTES)
        assert contents(tmp_path) == files


class TestSeeds:
    def test_no_two_trajectories_share_one(self) -> None:
        seeds = {
            trajectory_seed(seed, split, index)
            for seed in (0, 1, 11)
            for split in ("train", "validation", "test")
            for index in range(1000)
        }
        assert len(seeds) == 9000

    def test_they_are_the_same_for_ever(self) -> None:
        assert trajectory_seed(0, "train", 0) == 2454333602689288665


def test_a_full_disk_keeps_what_is_complete(tmp_path: Path) -> None:
    path, whole = tmp_path / "train.zarr", tmp_path / "whole.zarr"
    write_and_die(path, after=2)
    store = open_store(path, VARIABLE, COUNT, ATTRIBUTES)
    with largest_file(50), pytest.raises(UserError, match="that are complete are kept"):
        fill({"train": store}, make, 2, progress=False)
    assert store.complete == 4
    write(path)
    write(whole)
    assert contents(path) == contents(whole)
