"""Text files from strangers: read within limits, or refused in words."""

import os

import pytest
import yaml

from framecast.base.errors import UserError
from framecast.base.texts import LARGEST, read_text, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "f").write_text("a: [1, 2]\nb: &b {x: ü}\nc: *b\n", encoding="utf-8")
    assert read_yaml(tmp_path / "f") == {"a": [1, 2], "b": {"x": "ü"}, "c": {"x": "ü"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUGHS, "holds 1,234,567,900 values once its aliases are written out"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("[" * 50_000, "nested too deeply"),
        ("x" * (LARGEST + 1), "too large for YAML"),
        ("a: [1", "cannot be read as YAML"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
        ("a: 2020-13-45", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        ("m: {d: 1}\nt: 2\nm: {h: 3}\n", "the key m is given twice, in line 1 and in line 3"),
        ("m:\n  d: 1\n  h: 2\n  'd': 3\n", "the key d is given twice, in line 2 and in line 4"),
        ("a: \0", "cannot be read as YAML"),
    ],
    ids=[
        "aliases",
        "itself",
        "deep",
        "large",
        "cut",
        "code",
        "date",
        "bytes",
        "section",
        "key",
        "nul",
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        read_yaml(tmp_path / "f")


def test_a_key_that_is_merged_may_be_given_anew(tmp_path):
    text = "a: &a {x: 1, y: 1}\nouter: {b: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}\n"
    (tmp_path / "f").write_text(text)
    content = read_yaml(tmp_path / "f")
    assert content["outer"]["b"] == {"x": 2, "y": 1}
    assert content == yaml.safe_load(text)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        read_text(tmp_path / "pipe")
