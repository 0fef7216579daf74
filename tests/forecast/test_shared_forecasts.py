"""Several processes that share the windows and members of a forecast write what one does."""

import numpy as np
import pytest
import torch

from framecast.cli import main
from framecast.forecast.ensemble import AT_ONCE
from processes import together
from small import travelling_wave, untrained_run

pytestmark = pytest.mark.slow
STARTS = [str(start) for start in range(20, 20 + AT_ONCE + 3)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run whose members differ by noise, and frames."""
    monkeypatch.chdir(tmp_path)
    np.save("frames.npy", travelling_wave(sequences=1, length=60))
    torch.manual_seed(0)
    untrained_run(tmp_path / "run", tmp_path / "frames.npy", noise_channels=2)
    return tmp_path


def forecast(out, *options):
    return ["forecast", "run", "frames.npy", "--steps", "3", "--out", out, *options]


def shared(count, command):
    """What each of some processes says of a command that they share, and returns."""
    processes = together(count, ["-m", "framecast", *command])
    said = [process.communicate(timeout=300)[1] for process in processes]
    return said, [process.returncode for process in processes]


@pytest.mark.parametrize("count", [2, 3])
def test_frames_are_the_same_to_the_bit_and_written_once(folder, count):
    options = ["--start", *STARTS, "--members", "5", "--seed", "3"]
    assert main(forecast("alone.npz", *options)) == 0
    said, codes = shared(count, forecast("shared.npz", *options))
    assert codes == [0] * count, said
    alone, together_ = (np.load(folder / name) for name in ("alone.npz", "shared.npz"))
    assert alone["frames"].shape[:4] == (3, 5, 1, len(STARTS))
    assert len({frame.tobytes() for frame in alone["frames"][0].reshape(-1, 8, 8)}) == 55
    for name in alone.files:
        assert np.array_equal(alone[name], together_[name])


def test_a_process_for_which_nothing_is_left_waits_for_the_others(folder):
    said, codes = shared(2, forecast("shared.nc"))
    assert codes == [0, 0], said
    assert main(forecast("alone.nc")) == 0
    import xarray as xr

    shared_, alone = (xr.load_dataset(name) for name in ("shared.nc", "alone.nc"))
    assert shared_.drop_attrs().equals(alone.drop_attrs())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (forecast("f.txt"), "cannot write '.txt'"),
        (forecast("f.nc", "--start", "900"), "--start 900"),
        (["forecast", "persistence", *forecast("f.nc")[2:]], "forecasts in one process"),
    ],
)
def test_an_error_is_said_once(folder, command, message):
    said, codes = shared(2, command)
    assert codes == [2, 2], said
    assert "".join(said).count(message) == 1
    assert not list(folder.glob("f.*"))
