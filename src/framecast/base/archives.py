"""Archives of which no checksum is published: fetched in several goes, unpacked, remembered.

What came out of an archive at its first fetch is written into a file beside it, a line with the
SHA-256 and the name of each file, as `sha256sum -c` reads it. From then on the files must be these.
"""

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.limits import check_disk
from framecast.base.progress import track
from framecast.base.transfer import chunks, transfer
from framecast.base.whole import whole, write_text


@dataclass(frozen=True)
class Archive:
    """A zip archive of files that are used unpacked.

    Attributes:
        name: behind the address of each mirror.
        roughly: bytes, for people.
    """

    name: str
    roughly: int


def is_unpacked(archive: Archive, folder: Path) -> bool:
    """Whether all files of an archive are in a folder, as they were at the first fetch."""
    known = _recorded(archive, folder)
    return bool(known) and all(
        (folder / name).is_file() and _digest(folder / name) == digest
        for name, digest in known.items()
    )


def fetch_archive(
    archive: Archive, folder: Path, addresses: Sequence[str], replaces: bool, progress: bool
) -> None:
    """Fetch an archive, unpack it into a folder, and write down what it held.

    Args:
        archive: what to fetch.
        folder: where to; what was fetched before a transfer broke off is kept there, as NAME.part.
        addresses: of the archive, in the order in which they are tried.
        replaces: whether other files of the same names, of no earlier fetch, are replaced.
        progress: whether to show progress bars.

    Raises:
        UserError: if no address gives it whole, it is damaged, or it holds other files than at the
            first fetch, or than those that stand there.
    """
    part = folder / f"{archive.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    _transfer(archive, part, addresses, progress)
    try:
        with zipfile.ZipFile(part) as content:
            digests = _unpack(content, archive, folder, replaces, progress)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        part.unlink()
        raise UserError(
            f"{archive.name} is damaged, or no zip archive ({error}): it was removed. Fetch it "
            "again, or name another mirror with --mirror"
        ) from error
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    write_text(_record(archive, folder), "".join(lines))
    part.unlink()


def _transfer(archive: Archive, part: Path, addresses: Sequence[str], progress: bool) -> None:
    """Fetch the archive itself from the first address that gives all of it."""
    failures = []
    for address in addresses:
        try:
            transfer(address, part, progress)
            return
        except UserError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"  {address}: {error}")
    there = f"\n{part} holds what came so far: run the same again, and it goes on there"
    raise UserError(
        f"{archive.name} could not be fetched:\n" + "\n".join(failures) + "\nName another mirror "
        "with --mirror, or unpack the archive yourself" + (there if part.exists() else "")
    )


def _unpack(
    content: zipfile.ZipFile, archive: Archive, folder: Path, replaces: bool, progress: bool
) -> dict[str, str]:
    """Write the files of an archive into a folder; return their checksums by name."""
    members = {name: info for info in content.infolist() if (name := _plain_name(info))}
    if not members:
        raise ValueError("it holds no file")
    size = sum(info.file_size for info in members.values())
    check_disk(size, folder, f"{archive.name}, unpacked,", "Choose another --out")
    known, digests = _recorded(archive, folder), {}
    for name, info in track(list(members.items()), "unpack", len(members), progress):
        with whole(folder / name) as partial, content.open(info) as packed:
            digests[name] = _written(chunks(packed), partial)
            _check_same(folder / name, digests[name], known.get(name), archive, replaces)
    return digests


def _check_same(
    path: Path, digest: str, recorded: str | None, archive: Archive, replaces: bool
) -> None:
    if recorded is not None and recorded != digest:
        record = _record(archive, path.parent)
        raise UserError(
            f"{archive.name} holds another {path.name} than when it was first fetched ({record}): "
            f"what is there stays. Remove {record.name} to take the new files"
        )
    theirs = recorded is None and path.exists() and _digest(path) != digest
    if theirs and not replaces:
        raise UserError(
            f"{path} exists and is another file: add --overwrite to replace it, or choose another "
            "--out"
        )


def _plain_name(info: zipfile.ZipInfo) -> str:
    """The name of a file of an archive without folders; empty for folders and hidden files."""
    name = "" if info.is_dir() else Path(info.filename).name
    return "" if name.startswith(".") else name


def _record(archive: Archive, folder: Path) -> Path:
    return folder / f"{archive.name}.sha256"


def _recorded(archive: Archive, folder: Path) -> dict[str, str]:
    """The checksums of the first fetch, by name; none where there was none."""
    path = _record(archive, folder)
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _written(content: Iterator[bytes], path: Path) -> str:
    """Write a file, and return its checksum."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for chunk in content:
            out.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
