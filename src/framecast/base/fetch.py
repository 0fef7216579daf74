"""Files that framecast does not carry: fetched once into a cache folder, with checksums."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from framecast.base.archives import Archive, fetch_archive, is_unpacked
from framecast.base.claim import claim
from framecast.base.errors import UserError
from framecast.base.progress import track
from framecast.base.transfer import CHUNK, PATIENCE, chunks
from framecast.base.whole import whole


@dataclass(frozen=True)
class File:
    """A file to fetch.

    Attributes:
        name: in the cache, and behind the address of each mirror.
        size: bytes.
        checksum: ALGORITHM:HEXADECIMAL, such as sha256:..., as its publishers give it.
    """

    name: str
    size: int
    checksum: str


@dataclass(frozen=True)
class Download:
    """Files that belong together.

    Attributes:
        about: what they are, with their licence.
        mirrors: addresses of folders that hold the files, in the order in which they are tried; or
            addresses in which {name} stands for the name of a file.
        files: those of which a checksum is published.
        archives: those of which none is, and which are unpacked.
    """

    about: str
    mirrors: tuple[str, ...]
    files: tuple[File, ...] = ()
    archives: tuple[Archive, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files, and roughly those of archives."""
        return sum(file.size for file in self.files) + sum(a.roughly for a in self.archives)


DOWNLOADS = {
    "mnist": Download(
        about="images of handwritten digits, 60,000 for training and 10,000 for the test; "
        "CC BY-SA 3.0, Y. LeCun and C. Cortes",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://yann.lecun.com/exdb/mnist",
        ),
        files=(
            File("train-images-idx3-ubyte.gz", 9_912_422, "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            File("t10k-images-idx3-ubyte.gz", 1_648_877, "md5:9fb629c4189551a2d022fa330f9573f3"),
        ),
    ),
    "lpips": Download(
        about="weights of the metric lpips: AlexNet trained on ImageNet (torchvision, BSD) and the "
        "heads of version 0.1 (Zhang et al., BSD)",
        mirrors=(
            "https://download.pytorch.org/models",
            "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1",
        ),
        files=(
            File(
                "alexnet-owt-7be5be79.pth",
                244_408_911,
                "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            ),
            File(
                "alex.pth",
                6_009,
                "sha256:df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            ),
        ),
    ),
    "i3d": Download(
        about="features of the metric fvd: I3D trained on Kinetics-400, as TorchScript "
        "(universome/fvd-comparison, after DeepMind, Apache-2.0)",
        mirrors=("https://huggingface.co/flateon/FVD-I3D-torchscript/resolve/main",),
        files=(
            File(
                "i3d_torchscript.pt",
                51_235_320,
                "sha256:bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
            ),
        ),
    ),
    "weatherbench-z500": Download(
        about="geopotential at 500 hPa every hour from 1979 to 2018 on 32×64 points: WeatherBench "
        "(Rasp et al. 2020), from ERA5; CC BY 4.0 and the Copernicus licence",
        mirrors=(
            "https://dataserv.ub.tum.de/s/m1524895/download"
            "?path=%2F5.625deg%2Fgeopotential_500&files={name}",
        ),
        archives=(Archive("geopotential_500_5.625deg.zip", 1_500_000_000),),
    ),
}


def cache_folder(name: str) -> Path:
    """Return where the files of a download are kept, whether they are there or not.

    This is NAME in the folder that the environment variable FRAMECAST_CACHE names, else in
    framecast in XDG_CACHE_HOME, else in ~/.cache/framecast.
    """
    root = os.environ.get("FRAMECAST_CACHE")
    if root:
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framecast" / name


def fetched(name: str) -> Path | None:
    """Return the cache folder of a download, or None: whether all its files are there, by size."""
    folder, download = cache_folder(name), DOWNLOADS[name]
    there = all(
        (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size
        for file in download.files
    )
    unpacked = all(is_unpacked(archive, folder) for archive in download.archives)
    return folder if there and unpacked else None


def fetch(
    name: str,
    folder: Path | None = None,
    mirrors: Sequence[str] = (),
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Fetch the files of a download that are missing or damaged.

    Args:
        name: one of `DOWNLOADS`.
        folder: where to; the cache folder if None.
        mirrors: addresses to try before those that are known, http, https or file.
        overwrite: whether files of `folder` that have other content are replaced; those of the
            cache always are.
        progress: whether to show progress bars.

    Returns:
        The folder, which holds all files, each with the right checksum.

    Raises:
        UserError: if there is no such download, or no mirror gives a file with the right
            checksum; what a mirror gave instead is not kept, but the beginning of an archive is.
            Or if something else stands where a file belongs, or another process is fetching.
    """
    if name not in DOWNLOADS:
        raise UserError(f"{name} cannot be fetched; there are {', '.join(DOWNLOADS)}")
    download, replaces = DOWNLOADS[name], overwrite or folder is None
    with claim(folder or cache_folder(name)) as place:
        missing = [file for file in download.files if not _is_right(place / file.name, file)]
        for file in missing:
            _check_free(place / file.name, replaces)
        every = (*mirrors, *download.mirrors)
        for file in missing:
            _fetch_file(file, place / file.name, _addresses(every, file.name), progress)
        for archive in download.archives:
            if not is_unpacked(archive, place):
                addresses = _addresses(every, archive.name)
                fetch_archive(archive, place, addresses, replaces, progress)
    return folder or cache_folder(name)


def _check_free(path: Path, replaces: bool) -> None:
    """Raise a UserError if something stands at `path` that must stay."""
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, where a file is to be: move it, or choose another --out"
        )
    if path.exists() and not replaces:
        raise UserError(
            f"{path} exists and is another file, or damaged: add --overwrite to replace it, or "
            "choose another --out"
        )


def _is_right(path: Path, file: File) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        return _checksum(chunks(content), file) == file.checksum


def _addresses(mirrors: Sequence[str], name: str) -> list[str]:
    """Where mirrors have a file."""
    return [
        mirror.replace("{name}", name) if "{name}" in mirror else f"{mirror.rstrip('/')}/{name}"
        for mirror in mirrors
    ]


def _fetch_file(file: File, path: Path, addresses: Sequence[str], progress: bool) -> None:
    """Fetch a file from the first address that has it as it should be."""
    failures = []
    for address in addresses:
        try:
            with whole(path) as partial:
                _copy(address, partial, file, progress)
            return
        except UserError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"  {address}: {error}")
    raise UserError(
        f"{file.name} could not be fetched:\n" + "\n".join(failures) + "\nName another mirror with "
        f"--mirror, or put the file into {path.parent} yourself"
    )


def _copy(address: str, path: Path, file: File, progress: bool) -> None:
    """Copy a file; a ValueError if it is not what it should be."""
    with urlopen(address, timeout=PATIENCE) as response, path.open("wb") as out:
        pieces = track(chunks(response), file.name, -(-file.size // CHUNK), progress)
        found = _checksum(_written(pieces, out, file.size), file)
    if found != file.checksum:
        raise ValueError(f"its checksum is {found}, not {file.checksum}: damaged, or another file")


def _written(pieces: Iterator[bytes], out: IO[bytes], limit: int) -> Iterator[bytes]:
    """Write chunks as they pass, as long as they are not more than they should be."""
    for chunk in pieces:
        out.write(chunk)
        if out.tell() > limit:
            raise ValueError(f"it is longer than {limit:,} bytes: another file")
        yield chunk


def _checksum(content: Iterator[bytes], file: File) -> str:
    algorithm = file.checksum.partition(":")[0]
    digest = hashlib.new(algorithm)
    for chunk in content:
        digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"
