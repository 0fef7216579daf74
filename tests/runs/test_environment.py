"""What a run notes of where it was made."""

import subprocess

import pytest
import torch

from framecast.runs.environment import describe_run

CPU = torch.device("cpu")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder under git with one commit, where the work is done."""

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "config.yaml").write_text("a: 1\n")
    git("init")
    git("add", "config.yaml")
    git("commit", "-m", "Begin")
    monkeypatch.chdir(tmp_path)
    return git("rev-parse", "HEAD")


def test_the_commit_is_noted(checkout):
    assert describe_run(CPU)["git"] == checkout


def test_files_that_git_does_not_know_are_no_change(checkout, tmp_path):
    (tmp_path / "note.txt").write_text("b")
    assert describe_run(CPU)["git"] == checkout


def test_changes_are_noted(checkout, tmp_path):
    (tmp_path / "config.yaml").write_text("a: 2\n")
    assert describe_run(CPU)["git"] == f"{checkout}, and changes that are not committed"


def test_outside_of_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "git" not in describe_run(CPU)


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "git" not in describe_run(CPU)


def test_where_git_takes_too_long_nothing_is_claimed_of_changes(checkout, monkeypatch):
    run = subprocess.run

    def slow(command, **settings):
        if "status" in command:
            raise subprocess.TimeoutExpired(command, settings["timeout"])
        return run(command, **settings)

    monkeypatch.setattr(subprocess, "run", slow)
    assert describe_run(CPU)["git"].endswith("it is not known whether there are changes")
