"""Limits: what the machine has room for is known, and what does not fit is refused with sizes."""

import re

import pytest

from framecast.base import limits
from framecast.base.errors import UserError
from framecast.base.limits import (
    available_disk,
    available_memory,
    check_disk,
    check_memory,
    readable_size,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A system with 8 GB available, in a folder, and a process in no group."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "cgroup").write_text("")
    monkeypatch.setattr(limits, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(limits, "OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "groups")
    return tmp_path


def group(folder, version, most, used, cached):
    names = {1: ("limit_in_bytes", "usage_in_bytes"), 2: ("max", "current")}[version]
    folder.mkdir(parents=True)
    for name, value in zip(names, (most, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {cached}\n")


def test_memory_is_what_the_system_says(machine):
    assert available_memory() == 8_192_000_000


@pytest.mark.parametrize(("version", "line", "root"), [(2, "0::", "."), (1, "4:memory:", "memory")])
def test_a_group_with_a_limit_leaves_less(machine, version, line, root):
    (machine / "cgroup").write_text(f"9:systemd:/\n{line}/slurm/job\n")
    group(machine / "groups" / root / "slurm" / "job", version, 3_000_000_000, 900_000_000, 50)
    assert available_memory() == 2_100_000_050


def test_a_group_around_ones_own_counts_too_and_one_without_a_limit_does_not(machine):
    (machine / "cgroup").write_text("0::/slurm/job\n")
    group(machine / "groups" / "slurm" / "job", 2, "max", 100, 0)
    assert available_memory() == 8_192_000_000
    (machine / "groups" / "slurm" / "memory.max").write_text("500")
    (machine / "groups" / "slurm" / "memory.current").write_text("200")
    (machine / "groups" / "slurm" / "memory.stat").write_text("")
    assert available_memory() == 300


def test_where_free_memory_is_not_told_all_memory_counts(machine, monkeypatch):
    (machine / "meminfo").unlink()
    monkeypatch.setattr(limits.os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.get)
    assert available_memory() == 4_096_000
    monkeypatch.setattr(limits.os, "sysconf_names", {})
    assert available_memory() is None
    check_memory(1 << 60, "anything", "")  # nothing is known, nothing refused


def test_what_does_not_fit_into_memory_is_refused_with_sizes_and_remedy(machine):
    check_memory(8_192_000_000, "x.gif", "Make it smaller")
    message = "x.gif needs 8.19 GB of memory, but 8.19 GB are available. Make it smaller"
    with pytest.raises(UserError, match=re.escape(message)):
        check_memory(8_192_000_001, "x.gif", "Make it smaller")


def test_small_needs_do_not_ask_for_room(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 1 / 0)
    check_memory(limits.UNASKED, "a window of a small grid", "")
    with pytest.raises(ZeroDivisionError):
        check_memory(limits.UNASKED + 1, "a window of a large grid", "")


def test_what_does_not_fit_onto_the_disk_is_refused_with_sizes_and_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "available_disk", lambda path: 5_000)
    check_disk(5_000, tmp_path, "the cache", "Remove files")
    message = f"the cache needs 7 kB of disk at {tmp_path}, but 5 kB are free there. Remove files"
    with pytest.raises(UserError, match=re.escape(message)):
        check_disk(7_000, tmp_path, "the cache", "Remove files")


def test_the_disk_of_what_is_not_made_yet_is_that_of_its_folder(tmp_path, monkeypatch):
    asked = []
    usage = limits.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda path: asked.append(path) or usage)
    assert available_disk(tmp_path / "not" / "there.nc") == usage.free
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (12_345_678_901, "12.3 GB"),
        (999_600_000, "1 GB"),
        (123_456_000, "123 MB"),
        (5 * 10**18, "5,000 PB"),
    ],
)
def test_sizes_are_readable(count, text):
    assert readable_size(count) == text
