"""Reading damaged files gives frames or a UserError: no other error, no hang, little memory."""

import faulthandler
import resource
import warnings

import pytest

from framecast.base import limits
from mutations import SEEDS, damage, mutate, read_all

EACH = 6
"""Mutations of each kind of file; `make fuzz` makes many more."""
PATIENCE = 60
"""Seconds after which reading a file of a few kB counts as a hang, and ends the process."""
MOST = 2_000_000_000
"""Bytes that reading may add to the memory of the process at its peak."""


@pytest.mark.parametrize("kind", SEEDS)
def test_whole_files_give_frames(tmp_path, kind):
    assert read_all(SEEDS[kind](tmp_path)) == "frames"


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_give_frames_or_a_message(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: MOST // 2)
    monkeypatch.setattr(limits, "available_disk", lambda path: MOST // 2)
    said, before = [], _peak()
    for seed in range(EACH):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = SEEDS[kind](folder)
        damage(path, seed)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries, about what is odd
            said.append(read_all(path))
        faulthandler.cancel_dump_traceback_later()
    assert any(text != "frames" for text in said), "no damage was seen"
    assert all(str(tmp_path) in text for text in said if text != "frames")
    assert _peak() - before < MOST


def test_the_same_seed_makes_the_same_damage():
    data = bytes(range(256)) * 8
    made = [mutate(data, seed) for seed in range(200)]
    assert made == [mutate(data, seed) for seed in range(200)]
    assert data not in made
    assert len(set(made)) > 150
    assert all(mutate(small, seed) != small for small in (b"a", b"ab") for seed in range(50))


def _peak() -> int:
    """The most memory that the process ever held, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
