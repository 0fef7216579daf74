"""Pages whose commands are typed as they stand there, and which say what is printed."""

import re
import shlex
from pathlib import Path

import pytest

from framecast.cli import main

DOCS = Path(__file__).parent.parent / "docs"
SMALL = ["--model.depth", "1", "--model.hidden", "4", "--training.epochs", "1"]


def section(page, title):
    """The text of a section of a page."""
    text = (DOCS / page).read_text()
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def programs(text):
    """The Python in a text."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def follow(text, capsys):
    """Type each command of a text; what it says is printed is printed. Return the last of it."""
    printed, typed = "", 0
    for block in blocks(text):
        if not block[0].startswith("framecast "):
            missing = [line for line in block if not is_printed(line, printed.splitlines())]
            assert not missing, f"not printed any more: {missing}"
            continue
        for line in block:
            assert main(shortened(shlex.split(line)[1:])) == 0, line
            typed += 1
        printed = capsys.readouterr().out
    assert typed
    return printed


def blocks(text):
    """The indented blocks of a text, each a list of lines, those that go on joined."""
    found = re.findall(r"(?:^    .+\n)+", text.replace("\\\n    ", ""), re.MULTILINE)
    return [[line[4:] for line in block.splitlines()] for block in found]


def shortened(words):
    """A command, with a small network and one epoch where it trains."""
    if words[0] != "train":
        return words
    for option in ("--minutes", "--training.epochs"):
        if option in words:
            cut = words.index(option)
            words = [*words[:cut], *words[cut + 2 :]]
    return [*words, *SMALL]


def is_printed(line, printed):
    """Whether a line is among those that were printed; numbers may round differently elsewhere."""
    return any(_alike(line.split(), other.split()) for other in printed)


def _alike(words, others):
    return len(words) == len(others) and all(map(_same, words, others))


def _same(word, other):
    try:
        return word == other or float(word) == pytest.approx(float(other), rel=0.02, abs=0.002)
    except ValueError:
        return False
