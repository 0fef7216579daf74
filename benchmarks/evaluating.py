"""Frames a second of `framecast evaluate`: errors alone, and with SSIM, beside the network alone.

Sixteen windows of a run are forecast and scored, with persistence beside it. The limit is what the
network takes for the same frames, with nothing measured of them.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.timing import print_table
from framecast.evaluate import evaluate
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import forecast_frames
from framecast.frames.roles import FrameSpec
from framecast.frames.splits import split
from framecast.frames.statistics import Statistics
from framecast.metrics import MetricChoice
from framecast.models import Forecaster, ForecasterConfig
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import BEST, Checkpoint, load_checkpoint

WINDOWS, CONTEXT, STEPS = 16, 8, 24
GRIDS = (32, 64)
TURNS = 3
METRICS = {"errors": ("rmse", "mae"), "errors and SSIM": ("rmse", "mae", "ssim", "psnr")}
RANGE = (-6.0, 6.0)


def run() -> dict[str, Any]:
    """A row for each grid."""
    rows = [row(grid) for grid in GRIDS]
    print_table(f"Frames a second of an evaluation, {WINDOWS} windows of {STEPS} leads", rows)
    return {"evaluating": rows}


def row(grid: int) -> dict[str, object]:
    """Time an evaluation by each choice of metrics, and the network alone, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = make_run(Path(name), grid)
        data = folder.parent / "frames.npy"
        frames = read_frames(data)
        predictor = Predictor(load_checkpoint(folder), "cpu")

        def network() -> None:
            for _ in forecast_frames(predictor, frames, STEPS, starts=[CONTEXT - 1]):
                pass

        def scored(names: tuple[str, ...]) -> None:
            images = RANGE if "ssim" in names else None
            choice = MetricChoice(names=names, data_range=images)
            found = evaluate([folder], data=data, metrics=choice, baselines=["persistence"])
            assert found.windows == WINDOWS

        calls: dict[str, Callable[[], None]] = {"the network alone": network}
        calls |= {label: partial(scored, names) for label, names in METRICS.items()}
        taken: dict[str, list[float]] = {label: [] for label in calls}
        for _ in range(TURNS):
            for label, call in calls.items():
                start = time.perf_counter()
                call()
                taken[label].append(time.perf_counter() - start)
    rates = {label: WINDOWS * STEPS / median(times) for label, times in taken.items()}
    most = rates.pop("the network alone")
    return {
        "grid": f"{grid}×{grid}",
        "the network alone": f"{most:,.0f}",
        **{label: f"{rate:,.0f} ({rate / most:.2f})" for label, rate in rates.items()},
    }


def make_run(folder: Path, grid: int) -> Path:
    """An untrained run, and a file of as many sequences as there are windows."""
    random = np.random.default_rng(0)
    values = random.normal(size=(WINDOWS, CONTEXT + STEPS, 1, grid, grid)).astype(np.float32)
    np.save(folder / "frames.npy", values)
    train = split(read_frames(folder / "frames.npy"), 0.0, 0.5).train
    torch.manual_seed(0)
    config = ForecasterConfig(layer="min_conv_gru", depth=2, hidden=16)
    run = folder / "run"
    run.mkdir()
    Checkpoint(
        model=Forecaster(config, 1, grid=train.grid),
        statistics=Statistics.of(train),
        frames=FrameSpec.of(train),
        context=CONTEXT,
        horizon=STEPS,
        epoch=1,
        loss=1.0,
    ).save(run / BEST)
    described = {"data": {"path": str(folder / "frames.npy")}, "model": {"layer": config.layer}}

    (run / "config.yaml").write_text(
        yaml.safe_dump({**described, "training": {"context": CONTEXT}}), encoding="utf-8"
    )
    return run
