"""A hostile test room: uninitialised memory is NaN, and every test starts from one seed."""

import gc
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # tests run beside each other

# A collection of garbage looks at all tests and modules, each time for half a second.
gc.disable()


def pytest_collection_finish():
    """Leave what stays until the end out of all further collections of garbage."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    """Let it be collected at last: libraries tell of what they find left."""
    gc.unfreeze()


settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@contextmanager
def held_by_another(path):
    """Let another process hold the claim of a path, half-way through writing it; then kill it."""
    code = (
        "import sys, time\nfrom framecast.base.whole import whole\n"
        "with whole(sys.argv[1]) as partial:\n"
        "    partial.write_text('half')\n    print('held', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@contextmanager
def largest_file(size):
    """Limit the size of files, in bytes: what a full disk does to a program, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _deterministic():
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep what is decoded and fetched out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAMECAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def unchecked_types():
    """Switch off the checks of types and shapes that the tests put around functions.

    Dynamo cannot trace through them, and wrong arguments would not reach our own checks.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def close(actual, expected, relative):
    """Assert that the largest error is at most `relative` times the largest expected value."""
    error = (actual.double() - expected.double()).abs().max().item()
    scale = expected.double().abs().max().item()
    assert error <= relative * max(scale, 1e-30), f"error {error:.3g} at scale {scale:.3g}"


TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Relative error that two orders of the same sums may differ by, for each type."""


@pytest.fixture
def waves_here(tmp_path, monkeypatch):
    """Frames in the folder at hand, for commands that start several processes."""
    from small import travelling_wave  # not before types are checked in all that it imports

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.save("waves.npy", travelling_wave())
