"""A page a model: each layer has one, its program runs, and what it names is there."""

import re
from pathlib import Path

import pytest
import torch

from framecast.layers import layer_entry, layer_names

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
OURS = [n for n in layer_names() if layer_entry(n).layer.__module__.startswith("framecast.")]
PAGES = [*OURS, "s5"]


@pytest.mark.parametrize("name", PAGES)
def test_the_programs_run_as_they_are_printed(name):
    programs = re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text(), re.DOTALL)
    assert "torch.testing.assert_close" in "".join(programs)
    torch.manual_seed(0)
    for program in programs:
        exec(compile(program, f"{name}.md", "exec"), {})


@pytest.mark.parametrize("name", PAGES)
def test_each_says_equations_tests_results_and_when_to_take_it(name):
    page = (DOCS / f"{name}.md").read_text()
    for heading in ("equation", "Measured", "When to take it"):
        assert re.search(rf"^## .*{heading}", page, re.MULTILINE), f"{name}: {heading}"


@pytest.mark.parametrize("name", PAGES)
def test_files_and_names_of_code_are_there(name):
    page = (DOCS / f"{name}.md").read_text()
    for place in set(re.findall(r"`((?:tests|csrc|layers|ops|models)/[\w/.]+)`", page)):
        assert any((root / place).exists() for root in (ROOT, ROOT / "src" / "framecast")), place
    for row in re.findall(r"^\|[^|]*\| (`\w+/\S+\.py`.*?) \|", page, re.MULTILINE):
        files = re.findall(r"`(\S+\.py)`", row)
        code = "".join((ROOT / "src" / "framecast" / file).read_text() for file in files)
        for word in re.findall(r"`([A-Za-z_][\w.]*)`", re.sub(r"`\S+\.py`|op `\w+`", "", row)):
            assert all(re.search(rf"\b{part}\b", code) for part in word.split(".")), word


@pytest.mark.parametrize("name", PAGES)
def test_it_can_be_found(name):
    for page in (DOCS / "README.md", DOCS / "layers.md"):
        assert f"({name}.md)" in page.read_text(), page.name
    assert f"docs/{name}.md" in (ROOT / "mkdocs.yml").read_text()
