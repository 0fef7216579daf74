"""Text files from strangers: read within limits, or refused in words."""

import os

import pytest

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
        ("a: \0", "cannot be read as YAML"),
    ],
    ids=["aliases", "itself", "deep", "large", "cut", "code", "date", "bytes", "nul"],
)
def test_what_is_no_configuration_is_refused(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        read_yaml(tmp_path / "f")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        read_text(tmp_path / "pipe")
