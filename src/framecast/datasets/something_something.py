"""Something-Something V2: short videos of what people do with things, as they are published.

Goyal et al., The "something something" video database, ICCV 2017. The subset for early recognition
(Wang et al., E3D-LSTM, ICLR 2019; Su et al., Conv-TT-LSTM, 2020) has 41 categories in ten groups.
Which 41 the papers do not say in a form that could be read: the list comes from a file, and the one
that is shipped is another.
"""

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from framecast.base.errors import UserError, nearest
from framecast.base.texts import parse_yaml, read_text, read_yaml
from framecast.datasets.activities import NONE, ActivityVideos, Entry, hold_out
from framecast.datasets.source import register_source
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits

NAMES = {
    "train": ("something-something-v2-train.json", "labels/train.json", "train.json"),
    "validation": (
        *("something-something-v2-validation.json", "labels/validation.json"),
        "validation.json",
    ),
    "labels": ("something-something-v2-labels.json", "labels/labels.json", "labels.json"),
}
"""The files of the releases, by what is in them."""
FOLDERS = ("20bn-something-something-v2", "videos", ".")
"""Folders of videos, within the path."""
DEFAULT = "something_something.yaml"
"""The categories that are shipped, beside this file."""


@register_source("something_something")
@dataclass(frozen=True)
class SomethingSomething(ActivityVideos):
    """Something-Something V2 as it is published: a folder of ID.webm, and files of JSON.

    The official validation part is the test, as in the papers, since the labels of the official
    test were never published; a share of the training part is held out for validation.

    Attributes:
        path: folder with something-something-v2-train.json, -validation.json and -labels.json (or
            labels/train.json and so on), and the videos, ID.webm, in it or in a folder
            20bn-something-something-v2 or videos.
        categories: a YAML or JSON file that names the categories, by group: a mapping of names of
            groups to lists of labels, with the brackets of templates or without; a label that ends
            with * stands for all that begin so. all stands for every label; null for the list that
            is shipped, which is not that of the papers.
        none_of_these: whether videos of no category are read too, as a class of their own.
        validation_fraction: share of the training part, of each class, that is held out for
            validation, in [0, 1).
    """

    path: str = "data/something_something"
    categories: str | None = None
    none_of_these: bool = False
    validation_fraction: float = 0.1

    def splits(self) -> Splits:
        """Read the parts.

        Raises:
            UserError: if a file is not there or not as published, an id stands twice, a label does
                not exist, or a class has no video to learn from.
        """
        groups, entries = self._entries()
        train, validation = hold_out(entries["train"], self.validation_fraction, self.seed)
        if self.validation_fraction and not validation:
            raise UserError(
                f"{self.path}: validation_fraction {self.validation_fraction} of "
                f"{len(entries['train'])} videos, class by class, leaves nothing; raise it, or set "
                "it to 0"
            )
        classes = list(groups)
        return Splits(
            self.labelled(train, classes, f"{self.path} (training)", complete=True),
            self.labelled(validation, classes, f"{self.path} (held out)") if validation else None,
            self._test(entries["validation"], classes, decode=False),
        )

    def test(self) -> Frames | None:
        """Read the official validation part.

        Raises:
            UserError: as `splits`.
        """
        groups, entries = self._entries()
        return self._test(entries["validation"], list(groups), decode=True)

    def _test(
        self, entries: Sequence[Entry], classes: Sequence[str], decode: bool
    ) -> Frames | None:
        source = f"{self.path} (test)"
        return self.labelled(entries, classes, source, decode=decode) if entries else None

    def _entries(self) -> tuple[dict[str, str], dict[str, list[Entry]]]:
        """The group of each class, and the videos of both published parts that are of one."""
        folder = Path(self.path)
        labels = _read_labels(_find(folder, "labels"))
        groups = self._groups(labels)
        lists = {part: _read_list(_find(folder, part), labels) for part in ("train", "validation")}
        _check_ids(lists, folder)
        videos = _folder(folder, lists["train"])
        return groups, {
            part: [
                Entry(videos / f"{name}.webm", own, {"group": groups[own]})
                for name, label in listed.items()
                if (own := label if label in groups else NONE) in groups
            ]
            for part, listed in lists.items()
        }

    def _groups(self, labels: Sequence[str]) -> dict[str, str]:
        """The group of each class, in the order of the published labels."""
        if self.categories == "all":
            chosen = {label: label for label in labels}
        elif self.categories is None:
            text = files("framecast.datasets").joinpath(DEFAULT).read_text(encoding="utf-8")
            chosen = _choose(parse_yaml(text, Path(DEFAULT)), labels, DEFAULT, lenient=True)
            warnings.warn(
                f"{self.path}: {len(chosen)} categories are chosen by how their labels begin. They "
                "are not the 41 of the papers, whose list could not be had: accuracies do not "
                "compare. Name a list of your own as data.options.categories",
                stacklevel=2,
            )
        else:
            chosen = _choose(read_yaml(Path(self.categories)), labels, self.categories)
        groups = {label: chosen[label] for label in labels if label in chosen}
        return groups | ({NONE: NONE} if self.none_of_these else {})


def plain(label: str) -> str:
    """Return a label without the brackets of its template."""
    return label.replace("[", "").replace("]", "")


def _find(folder: Path, what: str) -> Path:
    found = next((folder / name for name in NAMES[what] if (folder / name).is_file()), None)
    if found is None:
        raise UserError(
            f"{folder} holds no {NAMES[what][0]} (nor {', '.join(NAMES[what][1:])}): data.path "
            "must be the folder with the files of Something-Something V2 as published"
        )
    return found


def _folder(folder: Path, train: Mapping[str, str]) -> Path:
    """The folder with the videos: the first that holds one."""
    for name in FOLDERS:
        if next((folder / name).glob("*.webm"), None) is not None:
            return folder / name
    raise UserError(
        f"{folder} holds no videos: {next(iter(train), 'ID')}.webm and all others must be in it, "
        f"or in a folder {' or '.join(FOLDERS[:-1])}"
    )


def _read_json(file: Path) -> Any:
    try:
        return json.loads(read_text(file, "JSON"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from error


def _read_labels(file: Path) -> list[str]:
    """The labels, without brackets, in the order of their numbers."""
    content = _read_json(file)
    try:
        numbers = {plain(str(label)): int(number) for label, number in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file} must be labels with their numbers, as published") from error
    return sorted(numbers, key=lambda label: numbers[label])


def _read_list(file: Path, labels: Sequence[str]) -> dict[str, str]:
    """The label of each video, by its id.

    Raises:
        UserError: if an entry is not as published, an id stands twice, or a label does not exist.
    """
    content = _read_json(file)
    try:
        listed = [(str(entry["id"]), plain(entry["template"])) for entry in content]
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{file} must be a list of objects with "id" and "template", as published'
        ) from error
    known = set(labels)
    for name, label in listed:
        if label not in known:
            raise UserError(
                f"{file}: video {name} has the label {label}, which does not exist"
                f"{nearest(label, labels)}"
            )
    _refuse_twice([name for name, _ in listed], str(file))
    return dict(listed)


def _check_ids(lists: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Refuse a video that is both learned from and tested on."""
    _refuse_twice([name for listed in lists.values() for name in listed], str(folder))


def _refuse_twice(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise UserError(
            f"{where}: ids must be there once, but twice or more are {', '.join(twice[:5])}{more}"
        )


def _choose(
    content: Any, labels: Sequence[str], where: str, lenient: bool = False
) -> dict[str, str]:
    """The group of each label that a file names.

    Args:
        content: labels by group.
        labels: those that exist.
        where: the file, for messages.
        lenient: whether a beginning that no label has is passed over.
    """
    lists = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(own, list) and all(isinstance(n, str) for n in own) for own in lists):
        raise UserError(f"{where} must be names of groups, each with a list of labels")
    chosen: dict[str, str] = {}
    for group, own in content.items():
        for name in map(plain, own):
            found = _found(name, labels)
            if not found and not lenient:
                raise UserError(
                    f"{where}: {group} has the label {name}, which does not exist"
                    f"{nearest(name, labels)}"
                )
            for label in found:
                if chosen.setdefault(label, str(group)) != str(group):
                    raise UserError(f"{where}: {label} is in {chosen[label]} and in {group}")
    if len(chosen) < 2:
        raise UserError(f"{where} names {len(chosen)} labels that exist, and two are needed")
    return chosen


def _found(name: str, labels: Sequence[str]) -> list[str]:
    if name.endswith("*"):
        return [label for label in labels if label.startswith(name[:-1])]
    return [label for label in labels if label == name]
