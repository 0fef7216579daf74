"""Runs that are shared: written into a folder with a card, put on the hub, and taken from there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants

import framecast
import hub
import imagined
from framecast.base.errors import UserError
from framecast.base.limits import RoomError
from framecast.cli import main
from framecast.models import Recogniser
from framecast.models.world import World
from framecast.runs.hub import FILES
from framecast.runs.weights import shelf
from small import untrained_run

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def run(tmp_path):
    """A run on waves, in a place that is nobody's business."""
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).normal(size=(4, 9, 1, 6, 6)))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "resume.ckpt").write_text("what is not shared")
    return untrained_run(folder, tmp_path / "waves.npy")


@pytest.fixture
def online(tmp_path, monkeypatch):
    """The real client, which takes a stand-in on this computer for the hub."""
    with hub.served() as (repositories, address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        place = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")[2]
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}" + place
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_somebody")
        yield repositories


def forecast(run, folder, name):
    """The values of a forecast by a run."""
    out, waves = folder / f"{name}.npz", folder / "waves.npy"
    assert main(["forecast", str(run), str(waves), "--steps", "4", "--out", str(out)]) == 0
    return np.load(out)["frames"]


def test_a_shared_folder_is_a_run_that_forecasts_the_same_to_the_bit(run, tmp_path):
    shared = framecast.save_pretrained(run, tmp_path / "shared")
    assert sorted(file.name for file in shared.iterdir()) == sorted(
        ["best.safetensors", "config.yaml", "README.md"]
    )
    assert (forecast(run, tmp_path, "one") == forecast(shared, tmp_path, "two")).all()


def test_places_on_the_disk_are_not_shared(run, tmp_path):
    shared = framecast.save_pretrained(run, tmp_path / "shared")
    for file in ("config.yaml", "README.md"):
        assert str(tmp_path) not in (shared / file).read_text()
    assert yaml.safe_load((shared / "config.yaml").read_text())["data"]["path"] == "waves.npy"


def test_the_card_begins_with_what_the_hub_reads(tmp_path):
    shared = framecast.save_pretrained(shelf(RESULTS)["storm1996"].path, tmp_path / "storm")
    about = ModelCard.load(shared / "README.md").data
    assert (about.library_name, about.license) == ("framecast", "apache-2.0")
    assert about.tags == ["framecast", "forecaster", "min_conv_gru"]
    scores = {one.metric_name: one.metric_value for one in about.eval_results}
    said = shelf(RESULTS)["storm1996"].evaluation[1]["metrics"]["p"]["closed_loop"]["rmse"]["value"]
    assert scores["rmse of p, lead 6 h"] == pytest.approx(said[0])
    assert scores["rmse of p, lead 24 h"] == pytest.approx(said[-1])


def test_a_card_is_kept_unless_more_is_said(run, tmp_path):
    shared = framecast.save_pretrained(run, tmp_path / "shared")
    (shared / "README.md").write_text("my own words")
    again = framecast.save_pretrained(shared, tmp_path / "again")
    assert (again / "README.md").read_text() == "my own words"
    licensed = framecast.save_pretrained(shared, tmp_path / "licensed", licence="MIT")
    assert "license: mit" in (licensed / "README.md").read_text()


def test_every_kind_of_model_is_shared(run, tmp_path):
    recogniser = shelf(RESULTS)["activities-conv-lstm"].path
    world = imagined.save(tmp_path / "world")
    for source, kind in ((run, framecast.Forecaster), (recogniser, Recogniser), (world, World)):
        shared = framecast.save_pretrained(source, tmp_path / f"shared-{kind.__name__}")
        saved = framecast.from_pretrained(shared)
        assert isinstance(saved.model, kind)
        ours = framecast.from_pretrained(source).model.state_dict()
        assert all(torch.equal(saved.model.state_dict()[name], ours[name]) for name in ours)
    told = (tmp_path / "shared-World" / "README.md").read_text()
    assert "A world model of " in told
    assert "framecast forecast FOLDER EPISODE --start N --steps K --out walk.mp4" in told


def test_a_checkpoint_alone_is_shared_and_loaded(run, tmp_path):
    shared = framecast.save_pretrained(run / "best.safetensors", tmp_path / "shared")
    assert isinstance(framecast.from_pretrained(shared), framecast.Checkpoint)
    assert not (shared / "config.yaml").exists()


def test_what_is_no_run_is_refused(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match="holds no checkpoint"):
        framecast.from_pretrained(tmp_path / "pictures")
    with pytest.raises(UserError, match="holds no checkpoint"):
        framecast.save_pretrained(tmp_path / "pictures", tmp_path / "shared")
    with pytest.raises(UserError, match="exists"):
        framecast.save_pretrained(run, tmp_path / "pictures")
    with pytest.raises(UserError, match="no folder of framecast evaluate"):
        framecast.save_pretrained(run, tmp_path / "shared", evaluation=tmp_path / "pictures")
    with pytest.raises(UserError, match="says nothing of"):
        framecast.save_pretrained(run, tmp_path / "shared", evaluation=RESULTS / "storm1996")
    assert not (tmp_path / "shared").exists()


def test_the_hub_gives_back_what_was_put_there(run, online, tmp_path):
    address = framecast.push_to_hub(run, "me/waves", private=True, licence="mit")
    assert address.endswith("/me/waves")
    assert online.private == {"me/waves"}
    assert set(online.files["me/waves"]) == {"best.safetensors", "config.yaml", "README.md"}
    ours = framecast.load_checkpoint(run).model.state_dict()
    theirs = framecast.from_pretrained("me/waves").model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_command_line_puts_a_run_there_and_forecasts_by_it(run, online, tmp_path, capsys):
    assert main(["weights", str(run), "--push", "me/waves"]) == 0
    assert "/me/waves" in capsys.readouterr().out
    mine = forecast(run, tmp_path, "mine")
    assert (forecast("hub:me/waves", tmp_path, "theirs") == mine).all()
    assert (forecast(f"hub:me/waves@{hub.COMMIT}", tmp_path, "older") == mine).all()
    assert main(["weights", "hub:me/waves"]) == 0
    assert "forecaster of min_conv_gru" in capsys.readouterr().out


def test_what_was_fetched_before_is_there_without_a_network(run, online, monkeypatch):
    framecast.push_to_hub(run, "me/waves")
    framecast.from_pretrained("me/waves")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(online.asked)
    framecast.from_pretrained("me/waves")
    assert len(online.asked) == asked


def test_only_files_of_a_run_are_fetched(run, online):
    framecast.push_to_hub(run, "me/waves")
    online.files["me/waves"] |= {"model.py": b"import os", "nested/best.safetensors": b"else"}
    framecast.from_pretrained("me/waves")
    fetched = {path.rpartition("/")[2] for path in online.asked if "/resolve/" in path}
    assert fetched <= set(FILES)
    assert not any("nested" in path for path in online.asked)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("waves", "neither a path here nor OWNER/NAME"),
        ("../me/waves", "neither a path here nor OWNER/NAME"),
        ("me/..", "neither a path here nor OWNER/NAME"),
        ("me/a..b", "neither a path here nor OWNER/NAME"),
        ("https://hub/me/waves", "neither a path here nor OWNER/NAME"),
        ("me/nothing", "no path me/nothing here. me/nothing is not on the hub, or you may not"),
    ],
)
def test_names_that_lead_nowhere_are_told(online, name, message):
    with pytest.raises(UserError, match=message):
        framecast.from_pretrained(name)


def test_revisions_that_lead_nowhere_are_told(run, online):
    framecast.push_to_hub(run, "me/waves")
    with pytest.raises(UserError, match="no such revision"):
        framecast.from_pretrained("me/waves", revision="v9")
    with pytest.raises(UserError, match="is no revision"):
        framecast.from_pretrained("me/waves", revision="../../secret")
    with pytest.raises(UserError, match="is a path here"):
        framecast.from_pretrained(run, revision="v1")


def test_what_a_stranger_put_there_is_looked_at_before_it_is_fetched(run, online):
    framecast.push_to_hub(run, "me/waves")
    for file, size, message in (
        ("config.yaml", 1 << 30, "config.yaml has 1.07 GB: too large"),
        ("best.safetensors", 1 << 60, "of disk at"),
    ):
        online.sizes = {file: size}
        with pytest.raises((UserError, RoomError), match=message):
            framecast.from_pretrained("me/waves")
    assert not any("/resolve/" in path for path in online.asked)
    online.sizes, online.files["me/other"] = {}, {"pytorch_model.bin": b"\x80\x02"}
    with pytest.raises(UserError, match=r"holds no run of framecast.*pytorch_model.bin"):
        framecast.from_pretrained("me/other")
    online.files["me/pickled"] = {"best.safetensors": b"\x80\x02cos\nsystem"}
    with pytest.raises(UserError, match="could run code when read, and was not read"):
        framecast.from_pretrained("me/pickled")


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"there is no path me/waves here\. me/waves on the hub:"):
        framecast.from_pretrained("me/waves")


def test_folders_need_no_client_and_the_hub_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    framecast.from_pretrained(framecast.save_pretrained(run, tmp_path / "shared"))
    with pytest.raises(UserError, match=r"pip install 'framecast\[hub\]'"):
        framecast.from_pretrained("me/waves")
    with pytest.raises(UserError, match=r"pip install 'framecast\[hub\]'"):
        framecast.push_to_hub(run, "me/waves")


def test_a_name_that_is_a_path_too_is_asked_about(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shelf(RESULTS)["storm1996"].path, "storm1996")
    assert main(["weights", "storm1996"]) == 2
    assert "write ./storm1996 or weights:storm1996" in capsys.readouterr().err
    assert main(["weights", "./storm1996"]) == 0
    assert main(["weights", "storm1996", "--private"]) == 2
    assert main(["weights", "--licence", "mit"]) == 2
