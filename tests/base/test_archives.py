"""Archives without a published checksum: from a server on this machine, in several goes."""

import hashlib
import io
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from framecast.base.archives import Archive
from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS, Download, cache_folder, fetch
from framecast.cli import main

FILES = {f"z_{year}.nc": np.random.default_rng(year).bytes(200_000 + year) for year in (1979, 1980)}


def zipped(files, folder=""):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}{name}", content)
    return packed.getvalue()


class Server:
    """Serves one archive; it may break off, ignore ranges, or say nothing of the length."""

    def __init__(self, content):
        self.content, self.breaks, self.ranges = content, [], True
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.http.server_port}/get?files={{name}}"

    def answer(self, request):
        given = request.headers.get("Range")
        self.asked.append((request.path, given))
        if not request.path.endswith("files=all.zip"):
            request.send_error(404)
            return
        start = int(given.removeprefix("bytes=").rstrip("-")) if given and self.ranges else 0
        size = len(self.content)
        if start >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        request.send_header("Content-Length", str(size - start))
        request.end_headers()
        stop = self.breaks.pop(0) if self.breaks else size
        request.wfile.write(self.content[start:stop])


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = Server(zipped(FILES))
    download = Download("two years", (server.address,), archives=(Archive("all.zip", 400_000),))
    monkeypatch.setitem(DOWNLOADS, "years", download)
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    yield server
    server.http.shutdown()
    server.http.server_close()


def found(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".nc"}


def test_an_archive_is_unpacked_remembered_and_not_fetched_again(server):
    folder = fetch("years", progress=False)
    assert found(folder) == FILES
    assert sorted(path.name for path in folder.iterdir()) == ["all.zip.sha256", *sorted(FILES)]
    lines = (folder / "all.zip.sha256").read_text().splitlines()
    expected = [f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}" for name in sorted(FILES)]
    assert lines == expected
    checked = subprocess.run(["sha256sum", "-c", "all.zip.sha256"], cwd=folder, check=False)
    assert checked.returncode == 0
    assert len(server.asked) == 1
    fetch("years", progress=False)
    assert len(server.asked) == 1


def test_a_transfer_that_breaks_off_goes_on_at_once(server):
    server.breaks = [150_000, 300_000]
    assert found(fetch("years", progress=False)) == FILES
    assert [given for _, given in server.asked] == [None, "bytes=150000-", "bytes=300000-"]


def test_a_transfer_that_was_given_up_goes_on_at_the_next_call(server):
    server.breaks = [150_000, 150_000]
    with pytest.raises(UserError, match=r"(?s)broke off after 150,000 of .*goes on there"):
        fetch("years", progress=False)
    part = next(iter(fetch_folder().iterdir()))
    assert (part.name, part.stat().st_size) == ("all.zip.part", 150_000)
    assert found(fetch("years", progress=False)) == FILES
    assert server.asked[-1][1] == "bytes=150000-"


def fetch_folder():
    return cache_folder("years")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("have", [1000, None, 10**6])
def test_any_beginning_ends_in_the_right_files(server, ranges, have):
    """Part of it, all of it, or more than it is; from a server that knows ranges, or none."""
    server.ranges = ranges
    content = server.content if have is None else (server.content + bytes(10**6))[:have]
    fetch_folder().mkdir(parents=True)
    (fetch_folder() / "all.zip.part").write_bytes(content)
    assert found(fetch("years", progress=False)) == FILES


def test_what_is_no_archive_is_removed_and_said(server):
    server.content = b"<html>come back later</html>" * 10
    with pytest.raises(UserError, match=r"all\.zip is damaged, or no zip archive"):
        fetch("years", progress=False)
    assert not any(fetch_folder().glob("*"))


def test_a_damaged_archive_is_found_out(server):
    place = server.content.index(FILES["z_1980.nc"][:50]) + 1000
    server.content = server.content[:place] + b"?" + server.content[place + 1 :]
    with pytest.raises(UserError, match=r"Bad CRC-32 for file 'z_1980.nc'"):
        fetch("years", progress=False)
    assert not (fetch_folder() / "z_1980.nc").exists()
    assert not (fetch_folder() / "all.zip.sha256").exists()


def test_a_damaged_file_is_fetched_again_and_must_be_the_same(server):
    folder = fetch("years", progress=False)
    (folder / "z_1979.nc").write_bytes(b"damaged")
    assert found(fetch("years", progress=False)) == FILES
    (folder / "z_1979.nc").write_bytes(b"damaged")
    server.content = zipped({**FILES, "z_1979.nc": b"another"})
    with pytest.raises(UserError, match=r"another z_1979.nc than when it was first fetched"):
        fetch("years", progress=False)
    assert (folder / "z_1979.nc").read_bytes() == b"damaged"
    (folder / "all.zip.sha256").unlink()
    assert found(fetch("years", progress=False))["z_1979.nc"] == b"another"


def test_what_is_not_framecasts_stays(server, tmp_path, capsys):
    (tmp_path / "z_1980.nc").write_text("mine")
    command = ["fetch", "years", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "z_1980.nc exists and is another file: add --overwrite" in capsys.readouterr().err
    assert (tmp_path / "z_1980.nc").read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / "z_1980.nc").read_bytes() == FILES["z_1980.nc"]


def test_folders_in_the_archive_lead_nowhere_else(server):
    server.content = zipped(FILES, folder="../../up/")
    assert found(fetch("years", progress=False)) == FILES


def test_the_next_mirror_goes_on(server):
    server.breaks = [100_000, 100_000]
    nowhere = server.address.replace("{name}", "none.zip")
    assert found(fetch("years", mirrors=[nowhere, server.address], progress=False)) == FILES
    assert [given for _, given in server.asked][1:] == [None, *["bytes=100000-"] * 2]


def test_the_list_names_it(capsys):
    assert main(["fetch"]) == 0
    said = capsys.readouterr().out
    assert "weatherbench-z500" in said
    assert "1500 MB" in said
