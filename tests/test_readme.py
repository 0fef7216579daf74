"""The README's quick start runs as it is printed."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_quick_start_runs(tmp_path, monkeypatch, capsys):
    (quick_start,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert quick_start.count("\n") <= 25
    monkeypatch.chdir(tmp_path)
    exec(compile(quick_start, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    assert [float(word) for word in printed]


def test_the_test_command_is_the_one_that_ci_calls():
    assert "make test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
