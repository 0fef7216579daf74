"""What tests of training share."""

import numpy as np
import pytest

from small import travelling_wave


@pytest.fixture
def waves_here(tmp_path, monkeypatch):
    """Frames in the folder at hand, for commands that start several processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.save("waves.npy", travelling_wave())
