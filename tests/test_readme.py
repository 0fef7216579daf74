"""The README's quick start runs as it is printed."""

import re
import tomllib
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


def test_what_badges_say_is_true():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    (torch,) = (need for need in project["dependencies"] if need.startswith("torch>"))
    true = {
        "python": f"python: {project['requires-python'].removeprefix('>=')} or newer",
        "pytorch": f"pytorch: {torch.removeprefix('torch>=')} or newer",
        "licence": f"licence: {project['license']}",
        "types": "types: mypy strict" if settings["tool"]["mypy"]["strict"] else "",
    }
    shown = re.findall(r"docs/pictures/badge_(\w+)\.svg", README)
    assert shown == list(true)
    for name in shown:
        badge = (ROOT / "docs" / "pictures" / f"badge_{name}.svg").read_text()
        assert re.findall(r"<title>(.*)</title>", badge) == [true[name]]
        label, value = true[name].split(": ")
        assert re.findall(r">([^<\n]+)</text>", badge) == [label, value]
