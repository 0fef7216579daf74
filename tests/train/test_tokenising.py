"""A tokeniser through its whole life: trained, stopped, resumed, loaded, and measured."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from framecast import Experiment, TrainingConfig, load_checkpoint, train
from framecast.base.errors import StoppedError, UserError
from framecast.cli import main
from framecast.datasets.config import DataConfig
from framecast.evaluate.reconstruction import reconstruct
from framecast.metrics.images import psnr
from framecast.models import TokeniserConfig
from framecast.runs.checkpoint import load_saved
from framecast.train.state import read_state

SMALL = {
    "quantiser": "cosine",
    "codes": 16,
    "embedding": 4,
    "channels": 8,
    "multiples": [1, 2],
    "blocks": 1,
    "adversarial_start": 3,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Episodes in which a bright square moves, and their actions."""
    root = tmp_path_factory.mktemp("squares")
    for part, count in (("train", 3), ("validation", 1), ("test", 1)):
        for number in range(count):
            video = np.zeros((8, 32, 32, 3), np.uint8)
            for t in range(8):
                video[t, 4 * number : 4 * number + 12, 2 * t : 2 * t + 12, t % 3] = 200
            file = root / part / "0" / f"{number}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, video=video, actions=np.zeros(8, int))
    return root


def experiment(folder, tokeniser=None, data=None, **training):
    settings = {"normalise": "symmetric", "crops_per_sequence": 4} | (data or {})
    keys = {"context": 1, "horizon": 0, "epochs": 2, "batch_size": 4, "save_minutes": None}
    return Experiment(
        data=DataConfig("dmlab", str(folder), **settings),
        training=TrainingConfig(**keys | training),
        tokeniser=TokeniserConfig(**SMALL | (tokeniser or {})),
    )


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return train(experiment(folder), tmp_path_factory.mktemp("runs") / "tokeniser")


def test_the_log_tells_how_it_goes(run):
    rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    row = dict(zip(rows[0], rows[-1], strict=True))
    assert float(row["val_psnr"]) > 3
    assert 1 <= float(row["val_perplexity"]) <= 16
    assert 0 < float(row["val_codes_used"]) <= 1
    assert int(row["epoch"]) == 2


def test_it_is_loaded_as_it_was_saved(run):
    saved = load_saved(run)
    assert saved.model.kind == "tokeniser"
    assert saved.model.spec.config.codes == 16
    assert saved.frames.names == ("red", "green", "blue")
    frames = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(saved.model.encode(frames), load_saved(run).model.encode(frames))


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(folder, run, tmp_path, monkeypatch):
    from framecast.models.tokeniser import Tokeniser

    learned, losses = 0, Tokeniser.losses

    def stopping(self, batch, unrolling):
        nonlocal learned
        learned += 1
        if learned == 5:
            raise KeyboardInterrupt
        return losses(self, batch, unrolling)

    monkeypatch.setattr(Tokeniser, "losses", stopping)
    with pytest.raises((KeyboardInterrupt, StoppedError)):
        train(experiment(folder), tmp_path / "run")
    monkeypatch.undo()
    train(experiment(folder), tmp_path / "run", resume=True)
    whole, resumed = (read_state(path).model for path in (run, tmp_path / "run"))
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


def test_reconstructions_are_measured_and_shown(folder, run, tmp_path, capsys):
    out = tmp_path / "shown.png"
    assert main(["reconstruct", str(run), "--frames", "5", "--out", str(out)]) == 0
    assert "psnr" in capsys.readouterr().out
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert numbers["frames"] == 5
    assert numbers["lpips"] is None
    saved = load_saved(run)
    with np.load(folder / "test" / "0" / "0.npz") as episode:
        video = torch.from_numpy(episode["video"][[0, 2, 4, 5, 7]]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        made = saved.model(video).frames.clamp(-1, 1)
    assert numbers["psnr"] == pytest.approx(psnr(made, video, span=2.0).mean().item(), rel=1e-4)
    picture = np.asarray(Image.open(out))
    assert picture.shape == (64, 5 * 32, 3)
    assert np.abs(picture[:32, :32] - (video[0].permute(1, 2, 0).numpy() + 1) * 127.5).max() <= 1


def test_other_frames_may_be_named_and_others_are_refused(folder, run, tmp_path):
    found, _ = reconstruct(run, folder / "train", frames=100)
    assert found.frames == 24
    other = tmp_path / "0.npz"
    np.savez(other, video=np.zeros((3, 16, 16, 3), np.uint8), actions=np.zeros(3, int))
    with pytest.raises(UserError, match="16×16, but the tokeniser reads red, green, blue on 32×32"):
        reconstruct(run, other)


def test_a_tokeniser_forecasts_nothing(run, folder, tmp_path):
    with pytest.raises(UserError, match=r"is a tokeniser, which is no forecaster.*reconstruct"):
        load_checkpoint(run)
    out = str(tmp_path / "evaluation")
    assert main(["evaluate", str(run), "--out", out]) == 2


def test_it_may_go_on_from_the_weights_of_another(folder, run, tmp_path):
    settings = {"init": str(run), "epochs": 1, "learning_rate": 1e-12}
    again = train(experiment(folder, **settings), tmp_path / "again")
    for name, weight in load_saved(run).model.named_parameters():
        torch.testing.assert_close(load_saved(again).model.get_parameter(name), weight)
    unjudged = {"adversarial": 0.0, "adversarial_start": 10_000}
    alone = train(experiment(folder, unjudged, **settings), tmp_path / "alone")
    judged = train(experiment(folder, init=str(alone), epochs=1), tmp_path / "judged")
    assert any("discriminator" in key for key, _ in load_saved(judged).model.named_parameters())
    following = {"decay": 0.99}
    moved = train(experiment(folder, following, **settings), tmp_path / "moved")
    before, after = (load_saved(r).model.quantiser.table() for r in (run, moved))
    assert (before * after).sum(1).min() > 0.9  # rows of length 1 that stay where they were
    narrow = experiment(folder, tokeniser={"channels": 4}, init=str(run))
    with pytest.raises(UserError, match=r"training.init .* is of another network: its \S+ is \[8"):
        train(narrow, tmp_path / "narrow")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"horizon": 2}, "training.horizon 2: a tokeniser forecasts nothing: set it to 0"),
        ({"teacher_forcing": 0.5, "horizon": 2}, "training.horizon 2"),
        ({"noise": 0.1}, "training.noise is not read where a tokeniser is trained"),
        ({"data": {"normalise": "standard"}}, "data.normalise standard: a tokeniser reads"),
        ({"betas": [0.9]}, r"training.betas \[0.9\] must be two numbers"),
    ],
)
def test_keys_that_are_not_read_are_refused(folder, settings, words):
    with pytest.raises(ValueError, match=words):
        experiment(folder, **settings)


def test_the_section_needs_a_quantiser_and_forecasters_a_horizon(folder):
    with pytest.raises(ValueError, match=r"tokeniser.quantiser is not none"):
        Experiment(tokeniser=TokeniserConfig(codes=5))
    with pytest.raises(ValueError, match=r"training.horizon 0 must be at least 1"):
        Experiment(training=TrainingConfig(horizon=0))


def test_a_grid_that_does_not_fit_is_refused_before_anything_is_written(folder, tmp_path):
    with pytest.raises(UserError, match="cannot be halved 6 times"):
        train(experiment(folder, {"multiples": [1] * 7}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_perceptual_distance_needs_its_weights(folder, tmp_path):
    with pytest.raises(UserError, match=r"needs the weights of LPIPS .framecast fetch lpips"):
        train(experiment(folder, {"perceptual": 1.0}), tmp_path / "run")


def test_betas_change_the_run(folder, run, tmp_path):
    other = train(experiment(folder, betas=[0.5, 0.9]), tmp_path / "run")
    assert (other / "log.csv").read_text() != (run / "log.csv").read_text()
    first, second = (read_state(path).model for path in (run, other))
    assert not torch.equal(first["encoder.conv.weight"], second["encoder.conv.weight"])
