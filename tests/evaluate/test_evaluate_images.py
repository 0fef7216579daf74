"""Evaluation of video: metrics of images, long horizons, groups of sequences."""

import csv
import hashlib
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.image import imread
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS
from framecast.cli import main
from framecast.evaluate import evaluate, scoring
from framecast.frames.lazy import load
from framecast.metrics import ERRORS, MetricChoice, clips
from framecast.metrics.clips import ClipFeatures
from framecast.metrics.frechet import Gaussians, frechet_distances
from framecast.metrics.lpips import Lpips
from framecast.metrics.numbers import _check_range
from framecast.readers.open import read_frames
from framecast.report import draw_colour_strips, draw_strips, evaluate_to, write_report
from judged import plain_scores, random_weights, scripted, walk
from small import untrained_run

ACTIONS = ("walking", "boxing", "walking", "running", "boxing", "walking")
OF_IMAGES = ("image_mse", "mse_frame_sum", "psnr", "ssim")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))


def write_video(path, length=24, size=32, actions=ACTIONS):
    """Grey videos of a bright square that wanders, in 0 to 255, labelled by action."""
    random = np.random.default_rng(0)
    values = random.uniform(0, 40, (len(actions), length, size, size))
    for n in range(len(actions)):
        corner = random.integers(0, size - 8, 2)
        for t in range(length):
            y, x = (corner + random.integers(-2, 3, 2) * t // 4) % (size - 8)
            values[n, t, y : y + 8, x : x + 8] += 200
    video = (("sequence", "time", "y", "x"), values.astype(np.float32), {"valid_range": [0, 255]})
    labels = {"action": ("sequence", np.array(actions)), "time": np.arange(length)}
    xr.Dataset({"grey": video}, labels).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "video.nc")


@pytest.fixture
def run(tmp_path, video):
    return untrained_run(tmp_path / "run", video, normalise="unit")


def windows_of(file, length):
    """All windows of a file in [0, 1], [windows,length,H,W]."""
    sequences = xr.open_dataset(file, engine="h5netcdf")["grey"].to_numpy().astype(np.float64)
    starts = range(0, sequences.shape[1] - length + 1, length)
    return np.stack([s[start : start + length] for s in sequences for start in starts]) / 255


def test_video_is_judged_as_images_without_being_asked(run, video):
    evaluation = evaluate([run], data=video)
    assert evaluation.metrics == (*ERRORS, *OF_IMAGES)
    assert {m: r.split(":")[0] for m, r in evaluation.measure.absent.items()} == {
        "lpips": "needs its weights",
        "fvd": "needs 9 lead times or more",
    }


def test_strips_of_images_run_from_black_to_white(run, video):
    values = draw_strips(evaluate([run], data=video), 0).axes[-2]
    assert values.get_ylim() == (0, 255)
    assert values.collections[-1].get_cmap().name == "gray"


def test_frames_in_colours_have_one_strip_in_colours(tmp_path):
    values = np.random.default_rng(0).uniform(0, 255, (2, 9, 3, 16, 20)).astype(np.float32)
    names = ("red", "green", "blue")
    told = {"valid_range": [0, 255]}
    dims = ("sequence", "time", "y", "x")
    channels = {name: (dims, values[:, :, n], told) for n, name in enumerate(names)}
    xr.Dataset(channels).to_netcdf(tmp_path / "colours.nc", engine="h5netcdf")
    run = untrained_run(tmp_path / "coloured", tmp_path / "colours.nc", normalise="unit")
    evaluation = evaluate_to([run], tmp_path / "out", steps=2)
    assert sorted(f.name for f in (tmp_path / "out").glob("strips*")) == ["strips_colours.png"]
    *panels, errors = draw_colour_strips(evaluation).axes
    shown = [panel.images[0].get_array() for panel in panels]
    truth = load(evaluation.first.values)[0, 3:5].movedim(1, -1).numpy()
    forecast = evaluation.models[0].example[0].movedim(1, -1).numpy()
    np.testing.assert_allclose(shown[:2], truth / 255, rtol=1e-6)
    np.testing.assert_allclose(shown[2:4], (forecast / 255).clip(0, 1), rtol=1e-6)
    np.testing.assert_allclose(shown[4:], np.abs(forecast - truth).mean(-1), rtol=1e-5)
    assert errors.get_ylim() == pytest.approx((0, np.abs(forecast - truth).mean(-1).max()))


def test_other_frames_are_not(tmp_path):
    np.save(tmp_path / "air.npy", walk(4, 16, 1, 12, 13))
    run = untrained_run(tmp_path / "weather", tmp_path / "air.npy")
    assert evaluate([run]).metrics == (*ERRORS, "acc", "activity")
    with pytest.raises(UserError, match="psnr needs the range of the data: --data-range"):
        evaluate([run], metrics=MetricChoice(("psnr",)))
    asked = evaluate([run], metrics=MetricChoice(data_range=(200.0, 400.0)))
    assert asked.metrics == (*ERRORS, *OF_IMAGES)


def test_metrics_of_images_equal_scikit_image_frame_by_frame(run, video):
    evaluation = evaluate([run], data=video, steps=4, batch_size=4)
    windows = windows_of(video, 7)
    last = np.repeat(windows[:, 2:3], 4, axis=1)
    expected = {name: np.zeros((len(windows), 4)) for name in ("image_mse", "psnr", "ssim")}
    for place in np.ndindex(len(windows), 4):
        truth, frame = windows[:, 3:][place], last[place]
        expected["image_mse"][place] = np.mean((truth - frame) ** 2)
        expected["psnr"][place] = peak_signal_noise_ratio(truth, frame, data_range=1)
        expected["ssim"][place] = structural_similarity(
            truth, frame, data_range=1,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
    expected["mse_frame_sum"] = expected["image_mse"] * 32 * 32
    persistence = evaluation.baselines[0]
    for name, values in expected.items():
        ours = persistence.mean(name)[evaluation.phases["closed_loop"], 0]
        np.testing.assert_allclose(ours, values.mean(0), rtol=1e-5)
        average = evaluation.average(persistence).mean(name).item()
        assert average == pytest.approx(values.mean(), rel=1e-5)


def test_images_are_clipped_to_their_range(run, video):
    """A network that was not trained leaves the range; no image does."""
    evaluation = evaluate([run], data=video, metrics=MetricChoice(data_range=(-1e4, 1e4)))
    clipped = evaluate([run], data=video)
    wide, narrow = (e.average(e.models[0]).mean("image_mse").item() for e in (evaluation, clipped))
    assert narrow < wide * (2e4 / 255) ** 2
    assert clipped.models[0].mean("mse").equal(evaluation.models[0].mean("mse"))


@pytest.mark.parametrize(("context", "steps"), [(3, 37), (20, 20), (16, 17), (1, 38)])
def test_long_windows_score_as_in_one_piece(tmp_path, context, steps):
    data = tmp_path / "long.npy"
    np.save(data, walk(2, 40, 1, 5, 6))
    run = untrained_run(tmp_path / "long", data)
    evaluation = evaluate([run], context=context, steps=steps)
    errors = plain_scores(run, np.load(data)[1:, : context + steps], context)
    rmse = np.sqrt((errors**2).mean((0, 3, 4)))
    np.testing.assert_allclose(evaluation.models[0].mean("rmse"), rmse, rtol=1e-4)


def test_memory_does_not_grow_with_the_horizon(tmp_path, monkeypatch):
    """Whatever the horizon, no more than 16 frames are measured at once."""
    data = tmp_path / "long.npy"
    np.save(data, walk(2, 140, 1, 5, 6))
    run = untrained_run(tmp_path / "long", data)
    read, longest = scoring.ScoredWindows.read, []

    def watched(self, batch, steps):
        longest.append(len(steps))
        return read(self, batch, steps)

    monkeypatch.setattr(scoring.ScoredWindows, "read", watched)
    assert evaluate([run], context=20, steps=120).steps == 120
    assert max(longest) == 16


def test_groups_are_scored_as_they_are_alone(tmp_path, run, video):
    together = evaluate([run], data=video, by="action", batch_size=2)
    assert together.groups == {"walking": 9, "boxing": 6, "running": 3}
    boxing = tmp_path / "boxing.nc"
    whole = xr.open_dataset(video, engine="h5netcdf")
    whole.isel(sequence=[1, 4]).to_netcdf(boxing, engine="h5netcdf")
    alone = evaluate([run], data=boxing)
    every = evaluate([run], data=video)
    for metric in (*ERRORS, *OF_IMAGES):
        for ours, theirs, all_of_it in zip(
            (*together.models, *together.baselines),
            (*alone.models, *alone.baselines),
            (*every.models, *every.baselines),
            strict=True,
        ):
            group = ours.of_group("boxing").mean(metric)
            torch.testing.assert_close(group, theirs.mean(metric), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(
                ours.mean(metric), all_of_it.mean(metric), rtol=1e-5, atol=1e-6
            )


def test_a_coordinate_that_is_not_there_is_named(run, video):
    with pytest.raises(UserError, match="no coordinate person over its sequences: there are act"):
        evaluate([run], data=video, by="person")


def test_lpips_and_fvd_equal_their_definitions(tmp_path, run):
    """Persistence, by the networks applied to the whole windows at once."""
    video = write_video(tmp_path / "long.nc", length=40)
    save_file(random_weights(), tmp_path / "lpips.safetensors")
    features, digest = scripted(tmp_path / "features.pt")
    choice = MetricChoice(
        lpips_weights=tmp_path / "lpips.safetensors", fvd_features=features, fvd_sha256=digest
    )
    evaluation = evaluate([run], data=video, context=3, steps=36, metrics=choice, batch_size=4)
    assert evaluation.metrics == (*ERRORS, *OF_IMAGES, "lpips", "fvd")
    assert evaluation.clip_ends == [16, 32]
    persistence = evaluation.baselines[0]
    truth = torch.from_numpy(windows_of(video, 39))[:, 3:, None].float()
    last = torch.from_numpy(windows_of(video, 39))[:, 2:3, None].float().expand_as(truth)

    network = Lpips.load(tmp_path / "lpips.safetensors")
    distances = network(last.flatten(0, 1), truth.flatten(0, 1)).view(6, 36).mean(0)
    ours = persistence.mean("lpips")[evaluation.phases["closed_loop"], 0]
    torch.testing.assert_close(ours, distances, rtol=1e-4, atol=1e-6)

    of = ClipFeatures.load(features, digest)
    sides = [[of(clips[:, a:b]) for a, b in pairwise((0, 16, 32))] for clips in (last, truth)]
    apart = frechet_distances(*(Gaussians.cat([*map(Gaussians.of, side)]) for side in sides))
    torch.testing.assert_close(persistence.mean("fvd")[:, 0], apart, rtol=1e-4, atol=1e-8)
    pooled = frechet_distances(*(Gaussians.of(torch.cat(side)) for side in sides))
    average = evaluation.average(persistence).mean("fvd")[:, 0]
    torch.testing.assert_close(average, pooled, rtol=1e-4, atol=1e-8)


def test_fvd_of_whole_videos_is_of_given_and_forecast_frames(tmp_path, run):
    """Persistence again, by the network applied to the whole windows."""
    video = write_video(tmp_path / "long.nc", length=40)
    features, digest = scripted(tmp_path / "features.pt")
    choice = MetricChoice(("fvd",), fvd_features=features, fvd_sha256=digest, fvd_clips="whole")
    asked = {"data": video, "context": 3, "steps": 36, "metrics": choice}
    evaluation = evaluate_to([run], tmp_path / "out", **asked)
    assert evaluation.clip_ends == [36]
    assert json.loads((tmp_path / "out/metrics.json").read_text())["clips"] == "whole"
    page = (tmp_path / "out/report.html").read_text()
    assert "whole windows, with the given frames" in page
    truth = torch.from_numpy(windows_of(video, 39))[:, :, None].float()
    still = torch.cat([truth[:, :3], truth[:, 2:3].expand(-1, 36, -1, -1, -1)], dim=1)
    of = ClipFeatures.load(features, digest)
    apart = frechet_distances(*(Gaussians.of(of(side)) for side in (still, truth)))
    ours = evaluation.baselines[0].mean("fvd")[:, 0]
    torch.testing.assert_close(ours, apart, rtol=1e-4, atol=1e-8)


def test_clips_with_gaps_are_in_no_distance(tmp_path, run):
    """Of six windows of two clips, the first lacks a pixel in its second clip."""
    video = write_video(tmp_path / "long.nc", length=40)
    frames = xr.open_dataset(video, engine="h5netcdf").load()
    frames["grey"] = frames["grey"].astype("float32")
    frames["grey"].values[0, 25, 2, 3] = np.nan
    gaps = tmp_path / "gaps.nc"
    frames.to_netcdf(gaps, engine="h5netcdf")
    features, digest = scripted(tmp_path / "features.pt")
    choice = MetricChoice(("fvd",), fvd_features=features, fvd_sha256=digest)
    evaluation = evaluate([run], data=gaps, context=3, steps=36, metrics=choice, batch_size=1)
    truth = torch.from_numpy(windows_of(video, 39))[:, 3:, None].float()
    last = torch.from_numpy(windows_of(video, 39))[:, 2:3, None].float().expand_as(truth)
    of = ClipFeatures.load(features, digest)
    for place, (a, b) in enumerate(pairwise((0, 16, 32))):
        sides = (Gaussians.of(of(clips[place:, a:b])) for clips in (last, truth))
        ours = evaluation.baselines[0].mean("fvd")[place : place + 1, 0]
        torch.testing.assert_close(ours, frechet_distances(*sides), rtol=1e-4, atol=1e-8)


def test_whole_videos_are_those_of_the_protocol_and_of_fvd_alone(tmp_path):
    features, digest = scripted(tmp_path / "features.pt")
    given = {"fvd_features": features, "fvd_sha256": digest}
    assert MetricChoice(protocol="conv_ssm", **given).whole_videos
    assert not MetricChoice(protocol="conv_ssm", fvd_clips="forecast", **given).whole_videos
    assert not MetricChoice(("fvd",), **given).whole_videos
    with pytest.raises(UserError, match="--fvd-clips is for FVD"):
        MetricChoice(("psnr",), fvd_clips="whole")


def test_what_was_fetched_is_used(tmp_path, monkeypatch, run, video):
    """LPIPS as soon as its weights are there, FVD, which takes long, only if it is asked for."""
    weights = random_weights()
    heads = {k.replace(".", ".model.1."): v for k, v in weights.items() if "lin" in k}
    backbone = {k: v for k, v in weights.items() if "features" in k}
    put(tmp_path, monkeypatch, "lpips", [backbone, heads])
    features, digest = scripted(tmp_path / "features.pt")
    put(tmp_path, monkeypatch, "i3d", [features.read_bytes()])
    save_file(weights, tmp_path / "same.safetensors")

    fetched = evaluate([run], data=video, steps=9)
    named = evaluate(
        [run], data=video, steps=9, metrics=MetricChoice(lpips_weights="same.safetensors")
    )
    assert fetched.metrics == (*ERRORS, *OF_IMAGES, "lpips")
    assert torch.equal(fetched.models[0].mean("lpips"), named.models[0].mean("lpips"))
    assert "if asked for" in fetched.measure.absent["fvd"]
    asked = evaluate([run], data=video, steps=9, metrics=MetricChoice(("fvd",)))
    choice = MetricChoice(("fvd",), fvd_features=features, fvd_sha256=digest)
    given = evaluate([run], data=video, steps=9, metrics=choice)
    assert torch.equal(asked.models[0].mean("fvd"), given.models[0].mean("fvd"))


def put(tmp_path, monkeypatch, name, contents):
    """Put files into the cache as if they had been fetched, with their sizes and checksums."""
    folder = tmp_path / "cache" / name
    folder.mkdir(parents=True)
    files = []
    for file, content in zip(DOWNLOADS[name].files, contents, strict=True):
        path = folder / file.name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        checksum = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        files.append(replace(file, size=path.stat().st_size, checksum=checksum))
    monkeypatch.setitem(DOWNLOADS, name, replace(DOWNLOADS[name], files=tuple(files)))
    if name == "i3d":
        monkeypatch.setattr(clips, "I3D", files[0])


def test_the_report_of_video(tmp_path, run, video, capsys):
    other = untrained_run(tmp_path / "other", video, normalise="unit", seed=1)
    evaluation = evaluate_to([run, other], tmp_path / "out", data=video, by="action")
    pixels = imread(tmp_path / "out/curves_images.png")
    assert pixels.std() > 0.05
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    assert described["data"]["data_range"] == [[0, 255]]
    assert set(described["absent_metrics"]) == {"lpips", "fvd"}
    model = described["models"][0]
    ssim = evaluation.models[0].mean("ssim")[2:, 0].tolist()
    assert model["frame_metrics"]["closed_loop"]["ssim"]["value"] == ssim
    boxing = evaluation.average(evaluation.models[0].of_group("boxing")).mean("psnr").item()
    averages = model["groups"]["boxing"]["averages"]["frame_metrics"]
    assert averages["psnr"]["value"] == [boxing]
    rows = list(csv.DictReader((tmp_path / "out/averages.csv").read_text().splitlines()))
    (row,) = (
        r for r in rows
        if (r["model"], r["group"], r["metric"]) == ("min_conv_gru", "boxing", "psnr")
    )  # fmt: skip
    assert (float(row["value"]), row["windows"], row["channel"]) == (boxing, "6", "")
    by_frame = list(csv.DictReader((tmp_path / "out/metrics.csv").read_text().splitlines()))
    assert len(by_frame) == 3 * 4 * 6 * 8  # models, groups and all, frames, metrics
    printed = capsys.readouterr().out
    assert "Averages over lead times 1 to 4" in printed
    assert f"{boxing:.2f} ±" in printed
    mse = 1e3 * evaluation.average(evaluation.models[0]).mean("image_mse").item()
    assert f"{mse:.1f} ±" in printed
    assert "LPIPS is left out: it needs its weights" in printed
    first = evaluation.models[0].runs[0]
    assert f"{first.parameters:,}" in printed
    assert f"{first.multiplications / 1e6:,.4g} M" in printed


def test_a_perfect_forecast_is_infinitely_good_and_makes_a_report(tmp_path):
    still = tmp_path / "still.nc"
    write_video(still)
    frames = xr.open_dataset(still, engine="h5netcdf").load()
    frames["grey"].values[:] = frames["grey"].values[:, :1]
    frames.to_netcdf(tmp_path / "same.nc", engine="h5netcdf")
    run = untrained_run(tmp_path / "still", tmp_path / "same.nc", normalise="unit")
    evaluation = evaluate([run])
    persistence = evaluation.baselines[0]
    assert (persistence.mean("psnr") == torch.inf).all()
    torch.testing.assert_close(persistence.mean("ssim"), torch.ones(6, 1).double())
    write_report(evaluation, tmp_path / "out")
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    psnr = described["baselines"][0]["frame_metrics"]["closed_loop"]["psnr"]
    assert psnr["value"] == [None] * 4
    assert psnr["left_out"] == [9] * 4


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"names": ("psnrr",)}, "unknown metric psnrr"),
        ({"data_range": (1.0, 0.0)}, "--data-range 1 0"),
        ({"fvd_sha256": "00"}, "--fvd-features"),
        ({"data_range": (0.0, 1.0)}, r"data range is 0 to 1, but .*--data-range"),
        (
            {"names": ("lpips",)},
            "lpips needs its weights: framecast fetch lpips, or --lpips-weights FILE",
        ),
        ({"names": ("fvd",)}, "fvd needs 9 lead times or more"),
        ({"lpips_weights": "gone.safetensors"}, "gone.safetensors"),
    ],
)
def test_metrics_that_cannot_be_had_are_named(run, video, choice, message):
    with pytest.raises(UserError, match=message):
        evaluate([run], data=video, metrics=MetricChoice(**choice))


def test_a_gap_does_not_hide_values_beyond_the_range():
    frames = torch.full((1, 2, 1, 4, 4), 200.0)
    frames[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="has values from 200 to 200"):
        _check_range(frames, torch.tensor([[0.0, 1.0]]))
    _check_range(torch.full((1, 2, 1, 4, 4), torch.nan), torch.tensor([[0.0, 1.0]]))


def test_small_frames_have_no_ssim(tmp_path):
    small = write_video(tmp_path / "small.nc", size=10)
    run = untrained_run(tmp_path / "small", small, normalise="unit")
    evaluation = evaluate([run])
    assert "ssim" not in evaluation.metrics
    assert evaluation.measure.absent["ssim"] == "needs frames of 11×11 or more, not 10×10"


def test_the_command_line(tmp_path, run, video, capsys):
    out = str(tmp_path / "out")
    arguments = ["evaluate", str(run), "--data", str(video), "--out", out, "--by", "action"]
    assert main([*arguments, "--metrics", "psnr", "ssim", "--data-range", "0", "256"]) == 0
    printed = capsys.readouterr().out
    assert "PSNR (dB)" in printed
    assert "RMSE" not in printed
    described = json.loads((tmp_path / "out/metrics.json").read_text())
    assert described["data"]["data_range"] == [[0, 256]]
    assert list(described["models"][0]["groups"]) == ["walking", "boxing", "running"]
    assert main([*arguments, "--metrics", "lpips"]) == 2
    assert "--lpips-weights" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "image: image_mse, mse_frame_sum, psnr, ssim" in printed


def test_the_source_declares_the_range(video):
    assert read_frames(video).channels[0].valid_range == (0, 255)
