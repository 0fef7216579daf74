"""Runs to share: a folder with weights, configuration and card, here or on the Hugging Face Hub.

Such a folder is a run folder, which every command reads, whose README.md is the card as the hub
wants it. What comes from there is a stranger's: only files of these names are fetched, which hold
tensors and text, and their sizes are looked at before.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.base.limits import check_disk, readable_size
from framecast.base.texts import LARGEST, read_text, read_yaml
from framecast.base.whole import PathLike, whole
from framecast.models import Forecaster
from framecast.runs.card import ENVIRONMENT, LOG, hub_card
from framecast.runs.checkpoint import BEST, Checkpoint, Saved, checkpoint_file, load_saved
from framecast.runs.contents import CONFIG
from framecast.runs.weights import describe

README = "README.md"
FILES = (BEST, CONFIG, ENVIRONMENT, LOG, README)
"""All that is shared of a run; what else lies in its folder is not."""

PREFIX = "hub:"

_PART = r"(?!.*(\.\.|--))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,95}")


def save_pretrained(
    run: PathLike,
    folder: PathLike,
    *,
    licence: str | None = None,
    evaluation: PathLike | None = None,
) -> Path:
    """Write what is shared of a run into a new folder, which is a run folder with a card.

    A card that lies in the run already, as README.md, is kept, unless a licence or an evaluation is
    given. Paths in the configuration that lie outside the current folder are cut to their last
    part: what a disk looks like is nobody else's business, and nobody else could read there.

    Args:
        run: a folder of any kind of model, or a checkpoint alone.
        folder: must not exist.
        licence: of the weights, as an identifier of SPDX or of the hub, such as apache-2.0.
        evaluation: the folder of one that the run was part of; None for `evaluation` in the run,
            if it is there.

    Returns:
        The folder.

    Raises:
        UserError: if the run or the evaluation cannot be read, or the folder exists.
    """
    out, source = Path(folder), Path(run)
    if out.exists():
        raise UserError(f"{out} exists: choose another folder")
    told = _card(source, licence, evaluation)
    with whole(out) as partial:
        partial.mkdir()
        shutil.copyfile(checkpoint_file(source), partial / BEST)
        for name in (ENVIRONMENT, LOG):
            if (source / name).is_file():
                shutil.copyfile(source / name, partial / name)
        if (source / CONFIG).is_file():
            config = yaml.safe_dump(_without_places(read_yaml(source / CONFIG)), sort_keys=False)
            (partial / CONFIG).write_text(config, encoding="utf-8")
        (partial / README).write_text(told, encoding="utf-8")
    return out


def from_pretrained(name: PathLike, revision: str | None = None) -> Saved:
    """Load a trained model from a folder, or from the Hugging Face Hub.

    Args:
        name: a run folder, one of `save_pretrained`, or a checkpoint; or, if there is no such
            path, OWNER/NAME of a repository on the hub.
        revision: branch, tag or commit there; None for the newest.

    Returns:
        A `Checkpoint` if it is a forecaster, else a model of its kind.

    Raises:
        UserError: if there is none of that name, it holds no run, or it does not fit here.
    """
    here = Path(name).exists()
    if here and revision is not None:
        raise UserError(f"{name} is a path here, which has no revision {revision}")
    saved = load_saved(name if here else _elsewhere(str(name), revision))
    return Checkpoint(**vars(saved)) if isinstance(saved.model, Forecaster) else saved


def kept_card(run: Path, licence: str | None, evaluation: PathLike | None) -> str | None:
    """Return the card that lies in a run, which is kept; None if a new one is to be written.

    Args:
        run: a folder, or a checkpoint alone.
        licence: as for `save_pretrained`: if one is given, a new card says so.
        evaluation: likewise.

    Raises:
        UserError: if the card cannot be read as a text.
    """
    own = run / README
    return read_text(own) if own.is_file() and licence is evaluation is None else None


def push_to_hub(
    run: PathLike,
    name: str,
    *,
    private: bool = False,
    licence: str | None = None,
    evaluation: PathLike | None = None,
) -> str:
    """Put on the Hugging Face Hub what `save_pretrained` writes, as one commit.

    The hub knows who you are by `hf auth login`, or the environment variable HF_TOKEN.

    Args:
        run: a folder of any kind of model, or a checkpoint alone.
        name: OWNER/NAME of the repository, which is made if it is not there.
        private: whether a repository that is made is seen by its owner alone.
        licence: as for `save_pretrained`.
        evaluation: as for `save_pretrained`.

    Returns:
        Its address.

    Raises:
        UserError: as `save_pretrained`; or if the hub refuses, or cannot be reached.
    """
    _check_name(name)
    api = need("huggingface_hub", "hub", name).HfApi()
    with TemporaryDirectory() as place:
        folder = save_pretrained(run, Path(place) / "run", licence=licence, evaluation=evaluation)
        with _refusals_told(name):
            api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                allow_patterns=list(FILES),
                commit_message=f"A run of framecast {version('framecast')}",
            )
    return f"{api.endpoint}/{name}"


def download(name: str, revision: str | None = None) -> Path:
    """Fetch a run from the Hugging Face Hub into its cache, or find it there where one is offline.

    Args:
        name: OWNER/NAME.
        revision: branch, tag or commit; None for the newest.

    Returns:
        A run folder, which is not to be written to.

    Raises:
        UserError: if there is none, it holds no run, it does not fit onto the disk, or the hub
            cannot be reached and it was not fetched before.
    """
    _check_name(name)
    if revision is not None and not _REVISION.fullmatch(revision):
        raise UserError(f"{revision!r} is no revision of {name}: name a branch, a tag or a commit")
    hub = need("huggingface_hub", "hub", name)
    with _refusals_told(name):
        if hub.is_offline_mode():
            return _fetch(hub, name, revision)
        files = hub.HfApi().model_info(name, revision=revision, files_metadata=True).siblings
        _check_files(files, name, Path(import_module("huggingface_hub.constants").HF_HUB_CACHE))
        return _fetch(hub, name, revision)


def named(word: str) -> Path:
    """Return the folder of what the command line calls hub:OWNER/NAME, or hub:OWNER/NAME@REVISION.

    Raises:
        UserError: as `download`.
    """
    name, _, revision = word.removeprefix(PREFIX).partition("@")
    return download(name, revision or None)


def _card(run: Path, licence: str | None, evaluation: PathLike | None) -> str:
    """The card of a run: its own, or one that is written from what is known of it."""
    kept = kept_card(run, licence, evaluation)
    return hub_card(describe(run, licence, evaluation)) if kept is None else kept


def _elsewhere(name: str, revision: str | None) -> Path:
    """Fetch what is no path here, which one may have meant."""
    _check_name(name)
    try:
        return download(name, revision)
    except UserError as error:
        raise UserError(f"there is no path {name} here. {error}") from error


def _fetch(hub: Any, name: str, revision: str | None) -> Path:
    return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(FILES)))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is neither a path here nor OWNER/NAME of a repository on the hub (letters, "
            "digits, -, _ and ., but not .. or --)"
        )


def _check_files(files: Sequence[Any], name: str, cache: Path) -> None:
    """Refuse what is no run, or larger than it may be, before any of it is fetched."""
    sizes = {file.rfilename: file.size or 0 for file in files if file.rfilename in FILES}
    if BEST not in sizes:
        others = ", ".join(file.rfilename for file in files[:5]) or "nothing"
        raise UserError(f"{name} on the hub holds no run of framecast: no {BEST}, but {others}")
    for file, size in sizes.items():
        if file not in (BEST, LOG) and size > LARGEST:
            raise UserError(f"{name} on the hub: {file} has {readable_size(size)}: too large")
    remedy = "Free some, or let HF_HUB_CACHE name a folder on another disk"
    check_disk(sum(sizes.values()), cache, f"{name} on the hub", remedy)


@contextmanager
def _refusals_told(name: str) -> Iterator[None]:
    """Say in words what the hub, or the way there, objects to."""
    errors = import_module("huggingface_hub.errors")
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name}: its owner must let you in: ask on its page, then hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{name} is not on the hub, or you may not see it: check the name; for what is "
            "private, hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name} on the hub has no such revision") from error
    # HTTPError is that of the library by which the hub is spoken to: what fails on the way too.
    except (errors.HTTPError, OSError, ValueError) as error:
        said = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise UserError(f"{name} on the hub: {said}") from error


def _without_places(value: Any) -> Any:
    """A configuration without what it says of the disk: of absolute paths the last part stays."""
    if isinstance(value, dict):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    if isinstance(value, str) and (value.startswith(("~", "..")) or PurePath(value).is_absolute()):
        return PurePath(value).name
    return value
