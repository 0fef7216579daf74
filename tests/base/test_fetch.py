"""Fetching: whole and right, or not there."""

import hashlib

import pytest

from framecast.base import fetch as module
from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS, Download, File, cache_folder, fetch
from framecast.cli import main

CONTENT = {"a.bin": b"a" * 300_000, "b.bin": bytes(range(256))}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that serves the two files of a download named small."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    files = []
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
        algorithm = "sha256" if name == "a.bin" else "md5"
        checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        files.append(File(name, len(content), checksum))
    small = Download("two files", (folder.as_uri(),), tuple(files))
    monkeypatch.setitem(DOWNLOADS, "small", small)
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    return folder


def found(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_fetched_once(mirror):
    folder = fetch("small")
    assert folder == cache_folder("small")
    assert found(folder) == CONTENT
    for file in mirror.iterdir():
        file.unlink()
    assert fetch("small") == folder


def test_a_damaged_file_is_fetched_again(mirror):
    (fetch("small") / "b.bin").write_bytes(bytes(256))
    assert found(fetch("small")) == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 300_000, "its checksum is sha256:.*not sha256:"),
        (b"a" * 299_999, "its checksum is"),
        (b"a" * 300_001, "longer than 300,000 bytes"),
        (None, "No such file"),
    ],
)
def test_what_is_not_right_is_refused_and_nothing_is_left(mirror, content, message):
    (mirror / "a.bin").unlink()
    if content is not None:
        (mirror / "a.bin").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        fetch("small")
    assert "--mirror" in str(error.value)
    assert not cache_folder("small").exists()


def test_the_next_mirror_is_tried(mirror, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.bin").write_bytes(b"damaged")
    assert found(fetch("small", mirrors=[bad.as_uri(), (tmp_path / "none").as_uri()])) == CONTENT


def test_an_interrupted_download_leaves_nothing(mirror, monkeypatch):
    def interrupted(content):
        yield b"aaa"
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("small")
    assert not cache_folder("small").exists()


def test_the_command_fetches_or_lists(mirror, tmp_path, capsys):
    assert main(["fetch"]) == 0
    assert "mnist" in capsys.readouterr().out
    assert main(["fetch", "small", "--out", str(tmp_path / "here")]) == 0
    assert found(tmp_path / "here") == CONTENT
    assert main(["fetch", "smal"]) == 2
    assert "smal cannot be fetched; there are mnist" in capsys.readouterr().err


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("FRAMECAST_CACHE", "/a")
    assert str(cache_folder("x")) == "/a/x"
    monkeypatch.delenv("FRAMECAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert str(cache_folder("x")) == "/b/framecast/x"


def test_every_download_can_be_checked():
    for name, download in DOWNLOADS.items():
        assert download.mirrors, name
        assert download.files or download.archives, name
        for file in download.files:
            algorithm, _, digits = file.checksum.partition(":")
            assert len(digits) == 2 * hashlib.new(algorithm).digest_size, file.name


def test_what_is_not_framecasts_stays(mirror, tmp_path):
    (tmp_path / "b.bin").write_text("mine")
    with pytest.raises(UserError, match=r"b.bin exists and is another file.*--overwrite"):
        fetch("small", tmp_path)
    assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "b.bin").read_text() == "mine"
    fetch("small", tmp_path, overwrite=True)
    assert (tmp_path / "b.bin").read_bytes() == CONTENT["b.bin"]


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_at_the_name_of_a_file_stays(mirror, tmp_path, capsys, overwrite):
    (tmp_path / "a.bin").mkdir()
    (tmp_path / "a.bin" / "mine").write_text("mine")
    assert main(["fetch", "small", "--out", str(tmp_path), *overwrite]) == 2
    assert "a.bin is a folder" in capsys.readouterr().err
    assert (tmp_path / "a.bin" / "mine").read_text() == "mine"
