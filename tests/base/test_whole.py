"""Files that are whole or not there, whoever is killed, and however many write at once."""

import os
import subprocess
import sys
import time

import pytest

from conftest import held_by_another
from framecast.base.claim import claim
from framecast.base.disk import FullDiskError, reserve
from framecast.base.errors import UserError
from framecast.base.hidden import former_of, lock_of, partial_of, recover
from framecast.base.whole import make_once, whole, write_text


def other_process(code, *arguments):
    """Start a Python process that runs code with `sys.argv[1:]`."""
    lines = "import sys, time\nfrom framecast.base.claim import claim\n"
    lines += "from framecast.base.whole import whole\n"
    return subprocess.Popen(
        [sys.executable, "-c", lines + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fail_half_way(path):
    with whole(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def test_what_stands_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "before")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path)
    assert path.read_text() == "before"
    write_text(path, "after")
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_only_by_who_says_so(tmp_path):
    path = tmp_path / "store.zarr"
    path.mkdir()
    (path / "mine").write_text("mine")
    with pytest.raises(UserError, match="is a folder"), whole(path):
        pytest.fail("the block must not run")
    assert (path / "mine").read_text() == "mine"
    with whole(path, replaces_folder=True) as partial:
        partial.mkdir()
        assert (path / "mine").exists()
    assert list(path.iterdir()) == []
    assert os.listdir(tmp_path) == ["store.zarr"]


def test_a_folder_whose_replacement_was_cut_off_comes_back(tmp_path):
    path = tmp_path / "store.zarr"
    former_of(path).mkdir()
    (former_of(path) / "old").write_text("old")
    partial_of(path).mkdir()
    with claim(path):
        assert (path / "old").read_text() == "old"
        assert not partial_of(path).exists()
    former_of(path).mkdir()  # killed later: the new folder stands already
    recover(path)
    assert (path / "old").exists()
    with claim(path):
        assert not former_of(path).exists()


def test_a_second_process_is_told_of_the_first(tmp_path):
    path = tmp_path / "file.txt"
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    with held_by_another(path) as first:
        for name in (path, link):
            said = f"in use by process {first.pid} on .*since"
            with pytest.raises(UserError, match=said), claim(name):
                pytest.fail("the block must not run")


def test_a_killed_process_holds_nothing_and_what_it_left_is_removed(tmp_path):
    path = tmp_path / "file.txt"
    with held_by_another(path):
        pass
    assert partial_of(path).read_text() == "half"
    write_text(path, "whole")
    assert os.listdir(tmp_path) == ["file.txt"]


def test_what_an_earlier_version_left_is_removed(tmp_path):
    (tmp_path / ".file.1234.partial.txt").write_text("half")
    (tmp_path / ".file.mine.partial.txt").write_text("mine")
    write_text(tmp_path / "file.txt", "whole")
    assert sorted(os.listdir(tmp_path)) == [".file.mine.partial.txt", "file.txt"]


def test_who_waits_writes_after_the_first(tmp_path):
    path = tmp_path / "file.txt"
    second = None
    with claim(path):
        second = other_process("with claim(sys.argv[1], wait=True): print(time.time())", path)
        time.sleep(1.0)
        assert second.poll() is None
        ended = time.time()
    assert float(second.communicate(timeout=60)[0]) >= ended
    assert not lock_of(path).exists()


MAKES = """
import sys, time
from pathlib import Path
from framecast.base.whole import make_once
def make(partial):
    print("begun", flush=True)
    time.sleep(0.5)
    partial.write_text("theirs")
make_once(Path(sys.argv[1]), make)
"""


def test_what_another_process_is_making_is_waited_for_and_not_made_again(tmp_path):
    path = tmp_path / "entry"
    first = subprocess.Popen(
        [sys.executable, "-c", MAKES, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "begun\n"
    make_once(path, lambda partial: partial.write_text("ours"))
    assert path.read_text() == "theirs"
    first.communicate()
    path.unlink()
    make_once(path, lambda partial: partial.write_text("ours"))
    assert path.read_text() == "ours"


def test_a_lock_that_vanishes_while_it_is_looked_at_is_taken_anew(tmp_path, monkeypatch):
    path, fstat, looks = tmp_path / "file.txt", os.fstat, []

    def vanish(lock):
        looks.append(lock)
        if len(looks) == 1:
            lock_of(path).unlink()
        return fstat(lock)

    monkeypatch.setattr(os, "fstat", vanish)
    with claim(path, wait=True):
        assert lock_of(path).exists()
    assert len(looks) == 2


def test_folders_that_another_takes_away_at_the_last_moment_are_made_again(tmp_path, monkeypatch):
    path, opens = tmp_path / "a" / "b" / "file.txt", []

    def open_late(file, *arguments, open=os.open):
        opens.append(file)
        if len(opens) == 1:
            path.parent.rmdir()
            path.parent.parent.rmdir()
        return open(file, *arguments)

    monkeypatch.setattr(os, "open", open_late)
    with claim(path):
        assert lock_of(path).exists()
    assert os.listdir(tmp_path) == []


def test_the_claim_of_a_folder_holds_for_what_is_in_it(tmp_path):
    with claim(tmp_path / "run") as run:
        write_text(run / "log.csv", "epoch\n")
        assert not lock_of(run / "log.csv").exists()
    assert os.listdir(tmp_path) == ["run"]


def test_a_failure_leaves_no_folders_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), claim(tmp_path / "a" / "b" / "file.txt"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_link_is_written_through(tmp_path):
    path, link = tmp_path / "folder" / "file.txt", tmp_path / "link.txt"
    link.symlink_to(path)
    write_text(link, "through")
    assert link.is_symlink()
    assert path.read_text() == "through"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("a file")
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path / "file" / "below", "file: it is a file, not a folder"),
        (tmp_path / "pipe", "neither a file nor a folder"),
        (f"{tmp_path}/nul\0", "null"),
    ]:
        with pytest.raises(UserError, match=message), claim(path):
            pytest.fail("the block must not run")


def test_modes_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with whole(tmp_path / "weights") as partial:
            partial.touch(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
from framecast.base.disk import reserve
with whole(sys.argv[1]) as partial:
    {write}
"""


@pytest.mark.parametrize(
    "write",
    ["partial.write_bytes(bytes(2000))", "reserve(partial, 2000)"],
    ids=["write", "reserve"],
)
def test_a_full_disk_is_named_and_leaves_what_stood_there(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("before")
    process = other_process(LIMITED.format(write=write), path)
    said = process.communicate(timeout=60)[1]
    assert f"FullDiskError: {path} could not be written: its disk is full" in said
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_reserved_space_is_there(tmp_path):
    reserve(tmp_path / "file", 5000)
    assert (tmp_path / "file").stat().st_size == 5000
    assert issubclass(FullDiskError, UserError)
