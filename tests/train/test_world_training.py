"""A world model through its stages: a tokeniser's run, its own run, and what it needs later."""

import numpy as np
import pytest
import torch

from framecast import Experiment, ForecasterConfig, TrainingConfig, train
from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.datasets.config import DataConfig
from framecast.models import Tokeniser, TokeniserConfig
from framecast.models.world_config import WorldConfig
from framecast.runs.checkpoint import load_checkpoint, load_saved
from framecast.train.start import prepare
from framecast.train.state import read_state
from imagined import TOKENISER, WORLD


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Episodes in which a bar moves to the left or to the right, as it is told."""
    root, random = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for part, count in (("train", 4), ("validation", 1), ("test", 1)):
        for number in range(count):
            actions = random.integers(0, 2, 12)
            places = 8 + 2 * np.concatenate([[0], np.cumsum(2 * actions - 1)[:-1]])
            video = np.zeros((12, 16, 16, 3), np.uint8)
            for t, place in enumerate(places):
                video[t, :, place % 16] = 250
            file = root / part / "0" / f"{number}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, video=video, actions=actions)
    return root


@pytest.fixture(scope="module")
def tokeniser(folder, tmp_path_factory):
    experiment = Experiment(
        data=DataConfig("dmlab", str(folder), normalise="symmetric"),
        training=TrainingConfig(context=1, horizon=0, epochs=1, batch_size=8),
        tokeniser=TokeniserConfig(**TOKENISER),
    )
    return train(experiment, tmp_path_factory.mktemp("runs") / "tokeniser")


def experiment(folder, tokeniser, world=None, data=None, model=None, **training):
    keys = {"context": 4, "horizon": 4, "epochs": 2, "batch_size": 2, "save_minutes": None}
    own = WORLD | {"tokeniser": str(tokeniser), "drop_loss": 0.5}
    network = {"layer": "conv_s5", "depth": 1, "hidden": 8, "norm": "channel"}
    return Experiment(
        data=DataConfig("dmlab", str(folder), **(data or {})),
        model=ForecasterConfig(**network | (model or {})),
        training=TrainingConfig(**keys | training),
        world=WorldConfig(**own | (world or {})),
    )


@pytest.fixture(scope="module")
def run(folder, tokeniser, tmp_path_factory):
    return train(experiment(folder, tokeniser), tmp_path_factory.mktemp("runs") / "world")


def test_the_log_tells_the_parts(run):
    rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    row = {k: float(v) for k, v in zip(rows[0], rows[-1], strict=True)}
    parts = row["val_codes"] + row["val_latents"] + row["val_quantiser"]
    assert row["val_loss"] == pytest.approx(parts, rel=1e-4)
    assert 1 <= row["val_perplexity"] <= 12


def test_the_last_stage_holds_all_that_is_needed(run, tokeniser, folder):
    saved = load_saved(run)
    assert saved.model.kind == "world"
    frames = torch.rand(2, 3, 16, 16) * 2 - 1
    codes = load_saved(tokeniser).model.encode(frames)
    assert torch.equal(saved.model.tokeniser.encode(frames), codes)
    assert saved.frames.names == ("red", "green", "blue")
    assert saved.frames.actions == 5
    assert saved.frames.action_names[0] == "left"
    assert torch.equal(saved.statistics.scale, load_saved(tokeniser).statistics.scale)


def test_codes_are_made_once(run, folder, tokeniser, tmp_path, monkeypatch):
    entries = {p: p.stat().st_mtime_ns for p in cache_folder("codes").rglob("*.npy")}
    assert entries

    def fail(self, frames):
        raise AssertionError("frames were encoded again")

    monkeypatch.setattr(Tokeniser, "encode", fail)
    train(experiment(folder, tokeniser, epochs=1), tmp_path / "run")
    assert {p: p.stat().st_mtime_ns for p in cache_folder("codes").rglob("*.npy")} == entries


@pytest.mark.parametrize(("workers", "where"), [(0, "cuda"), (2, "cpu")])
def test_frames_are_encoded_where_the_model_is_trained_or_by_workers(
    folder, tokeniser, monkeypatch, workers, where
):
    moved = []
    monkeypatch.setattr(Tokeniser, "to", lambda self, device: moved.append(device.type) or self)
    wanted = experiment(folder, tokeniser, data={"workers": workers})
    prepare(wanted, wanted.data.open().splits(), device=torch.device("cuda"))
    assert moved == [where]


def test_frames_that_are_to_be_encoded_are_told_of(
    folder, tokeniser, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    wanted = experiment(folder, tokeniser, epochs=1)
    train(wanted, tmp_path / "run")
    assert "5 sequences are encoded when they are first read" in capsys.readouterr().err
    train(wanted, tmp_path / "again")
    assert "encoded" not in capsys.readouterr().err


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(
    folder, tokeniser, run, tmp_path, monkeypatch
):
    from framecast.models.world import World

    learned, losses = 0, World.losses

    def stopping(self, batch, unrolling):
        nonlocal learned
        learned += self.training
        if learned == 4:
            raise KeyboardInterrupt
        return losses(self, batch, unrolling)

    monkeypatch.setattr(World, "losses", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(experiment(folder, tokeniser), tmp_path / "run")
    monkeypatch.undo()
    train(experiment(folder, tokeniser), tmp_path / "run", resume=True)
    whole, resumed = (read_state(path).model for path in (run, tmp_path / "run"))
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


def test_a_tokeniser_that_changed_meanwhile_is_refused(folder, tokeniser, tmp_path):
    import shutil

    own = shutil.copytree(tokeniser, tmp_path / "tokeniser")
    train(experiment(folder, own, epochs=1), tmp_path / "run")
    other = Experiment(
        data=DataConfig("dmlab", str(folder), normalise="symmetric"),
        training=TrainingConfig(context=1, horizon=0, epochs=1, batch_size=8, seed=5),
        tokeniser=TokeniserConfig(**TOKENISER),
    )
    shutil.rmtree(own)
    train(other, own)
    with pytest.raises(UserError, match="codes are those of another tokeniser"):
        train(experiment(folder, own, epochs=1), tmp_path / "run", resume=True)


def test_without_actions_it_learns_too(folder, tokeniser, tmp_path):
    data = {"options": {"with_actions": False}}
    out = train(experiment(folder, tokeniser, data=data, epochs=1), tmp_path / "run")
    assert load_saved(out).model.spec.actions == 0


@pytest.mark.parametrize(
    ("layer", "world"),
    [
        ("conv_lstm", {}),
        ("transformer", {}),
        ("min_conv_gru", {}),
        ("conv_s5", {"kind": "plain", "widths": [8, 16], "decoder_blocks": 1}),
    ],
)
def test_other_memories_learn_too(folder, tokeniser, tmp_path, layer, world):
    made = experiment(folder, tokeniser, epochs=1, model={"layer": layer})
    if world:
        config = WorldConfig(tokeniser=str(tokeniser), **world)
        made = Experiment(made.data, made.model, made.training, world=config)
    out = train(made, tmp_path / "run")
    assert load_saved(out).model.spec.memory.layer == layer


def test_a_world_model_is_not_unrolled_as_a_forecaster(run):
    with pytest.raises(UserError, match=r"is a world"):
        load_checkpoint(run)


def test_it_may_go_on_from_the_weights_of_another(folder, tokeniser, run, tmp_path):
    settings = {"init": str(run), "epochs": 1, "learning_rate": 1e-12}
    again = train(experiment(folder, tokeniser, **settings), tmp_path / "again")
    for name, weight in load_saved(run).model.named_parameters():
        torch.testing.assert_close(load_saved(again).model.get_parameter(name), weight)
    for other, words in (
        ({"init": str(tokeniser)}, "training.init .* is a tokeniser, and no world"),
        (
            {"init": str(run), "data": {"options": {"with_actions": False}}},
            "knows the actions .*, here are none",
        ),
        ({"init": str(run), "world": {"latent": 5}}, r"of another network: its \S+ is \[.*6"),
    ):
        with pytest.raises(UserError, match=words):
            train(experiment(folder, tokeniser, **other), tmp_path / "other")


def test_a_tokeniser_may_start_from_that_of_a_world(folder, tokeniser, run, tmp_path):
    def again(data):
        settings = {"context": 1, "horizon": 0, "epochs": 1, "learning_rate": 1e-12}
        return Experiment(
            data=DataConfig("dmlab", str(folder), normalise="symmetric", options=data),
            training=TrainingConfig(**settings, init=str(run)),
            tokeniser=TokeniserConfig(**TOKENISER),
        )

    for name, data in (("with", {}), ("without", {"with_actions": False})):
        found = load_saved(train(again(data), tmp_path / name)).model
        for key, weight in load_saved(tokeniser).model.named_parameters():
            torch.testing.assert_close(found.get_parameter(key), weight)


def test_it_knows_how_its_own_data_were_read(folder, tokeniser, tmp_path):
    slower = {"options": {"rate": 5.0}}
    own = train(experiment(folder, tokeniser, data=slower, epochs=1), tmp_path / "run")
    header, plain = (load_saved(each).frames for each in (own, tokeniser))
    assert (header.step, plain.step) == ("0.2", "0.133333")
    assert header.names == plain.names


def test_frames_are_kept_back_where_some_are_left_and_actions_told(folder, tokeniser, tmp_path):
    with pytest.raises(ValueError, match=r"world.inputs 8 keeps no frame back of windows of 8"):
        experiment(folder, tokeniser, world={"inputs": 8})
    silent = {"options": {"with_actions": False}}
    with pytest.raises(UserError, match=r"world.inputs 4 keeps frames back .* have none"):
        train(experiment(folder, tokeniser, {"inputs": 4}, silent), tmp_path / "run")


def test_what_does_not_fit_is_refused(folder, tokeniser, run, tmp_path):
    with pytest.raises(UserError, match="is a world, and no tokeniser"):
        train(experiment(folder, run), tmp_path / "run")
    np.savez(
        tmp_path / "0.npz", video=np.zeros((12, 32, 32, 3), np.uint8), actions=np.zeros(12, int)
    )
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "0.npz").rename(tmp_path / "data" / "train" / "0.npz")
    data = {"validation_fraction": 0.0}
    with pytest.raises(UserError, match=r"on 32×32, but the tokeniser reads .* on 16×16"):
        train(experiment(tmp_path / "data", tokeniser, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": {"encoder": "strided"}}, "model.encoder is not read by the memory"),
        ({"teacher_forcing": 0.5}, "training.teacher_forcing is not read where a world model"),
        ({"data": {"normalise": "unit"}}, "data.normalise unit is not read"),
    ],
)
def test_keys_that_are_not_read_are_refused(folder, settings, words):
    with pytest.raises(ValueError, match=words):
        experiment(folder, "run", **settings)


def test_the_section_needs_a_tokeniser_and_not_two_kinds():
    with pytest.raises(ValueError, match=r"world.tokeniser names the run of a tokeniser"):
        Experiment(world=WorldConfig(latent=5))
    with pytest.raises(ValueError, match="are for two runs, one after the other"):
        Experiment(
            data=DataConfig(normalise="symmetric"),
            training=TrainingConfig(horizon=0),
            tokeniser=TokeniserConfig(quantiser="cosine"),
            world=WorldConfig(tokeniser="run"),
        )
