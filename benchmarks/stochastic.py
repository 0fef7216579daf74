"""A trained ensemble beside the exact predictive distribution of a linear stochastic field.

Each Fourier coefficient of the field is an autoregressive process of its own,
x̂(k, t + 1) = a(k) x̂(k, t) + √(s(k) (1 − a(k)²)) ε, with standard normal white noise ε: it decays
and diffuses, and is driven by noise. What can be known of lead L is therefore a normal distribution
about a(k)^L x̂(k) whose variance is the mean of s(k) (1 − a(k)^2L) in every cell. The way goes all
through: a file, a configuration, training, a checkpoint, an evaluation with members.
"""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.timing import print_table
from framecast.datasets.config import DataConfig
from framecast.evaluate import Evaluation, evaluate
from framecast.metrics import MetricChoice
from framecast.models import ForecasterConfig
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train

SEQUENCES, LENGTH, SIDE = 60, 40, 16
LEADS, MEMBERS, EPOCHS = 6, 16, 25
TEST = 0.2
"""Share of the sequences, the last ones."""


class Field:
    """The process on a periodic grid, in cells of variance 1.

    Args:
        side: of the grid.
        rate: of the decay, for a step.
        diffusion: of the field, in squared cells for a step.
    """

    def __init__(self, side: int, rate: float = 0.15, diffusion: float = 0.25) -> None:
        waves = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(side))
        damping = rate + diffusion * (waves[:, None] + waves)
        self.side, self.decay = side, np.exp(-damping)
        self.variance = 1 / damping / (1 / damping).mean()

    def sample(self, sequences: int, length: int, seed: int = 0) -> np.ndarray:
        """Draw sequences [N,T,H,W] that begin in the stationary state."""
        random = np.random.default_rng(seed)

        def white() -> np.ndarray:
            return np.fft.fft2(random.standard_normal((sequences, self.side, self.side)))

        state, frames = np.sqrt(self.variance) * white(), []
        for _ in range(length):
            frames.append(np.fft.ifft2(state).real)
            state = self.decay * state + np.sqrt(self.variance * (1 - self.decay**2)) * white()
        return np.stack(frames, 1)

    def predict(self, frames: np.ndarray, lead: int) -> tuple[np.ndarray, float]:
        """Return mean [...,H,W] and deviation of what comes `lead` steps after frames."""
        mean = np.fft.ifft2(self.decay**lead * np.fft.fft2(frames)).real
        return mean, math.sqrt((self.variance * (1 - self.decay ** (2 * lead))).mean())


def normal_crps(truth: np.ndarray, mean: np.ndarray, deviation: float) -> np.ndarray:
    """Return the CRPS of a normal distribution (Gneiting et al. 2005, Eq. 5)."""
    z = torch.from_numpy((truth - mean) / deviation)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    below = torch.special.ndtr(z)
    score = deviation * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return np.asarray(score)


def ensemble_of(folder: Path, frames: np.ndarray) -> Path:
    """Train an ensemble on frames in a folder."""
    np.save(folder / "field.npy", frames[:, :, None].astype(np.float32))
    experiment = Experiment(
        DataConfig(path=str(folder / "field.npy"), validation_fraction=0.1, test_fraction=TEST),
        ForecasterConfig(
            depth=2,
            hidden=24,
            padding="circular",
            norm="channel",
            norm_position="pre",
            predicts="change",
            noise_channels=4,
        ),
        TrainingConfig(
            context=2,
            horizon=3,
            epochs=EPOCHS,
            batch_size=8,
            learning_rate=3e-3,
            loss="crps",
            members=4,
            precision=32,
        ),
    )
    return train(experiment, folder / "run", device="cpu")


def score(run: Path, members: int, leads: int) -> Evaluation:
    """Score the ensemble on the test part."""
    names = ("crps", "spread", "spread_skill", "rank_histogram")
    choice = MetricChoice(names=names)
    return evaluate([run], steps=leads, members=members, baselines=[], metrics=choice, device="cpu")


def exact_scores(field: Field, frames: np.ndarray, context: int, leads: int) -> list[float]:
    """Return the CRPS of the exact distribution at each lead, on windows side by side."""
    window, found = context + leads, []
    starts = range(0, frames.shape[1] - window + 1, window)
    last = np.stack([frames[:, start + context - 1] for start in starts], 1)
    for lead in range(1, leads + 1):
        truth = np.stack([frames[:, start + context - 1 + lead] for start in starts], 1)
        found.append(float(normal_crps(truth, *field.predict(last, lead)).mean()))
    return found


def compare(evaluation: Evaluation, exact: list[float]) -> list[dict[str, object]]:
    """A row for each lead."""
    (model,) = evaluation.models
    first = evaluation.context - 1
    crps, ratio = (model.mean(name)[first:, 0] for name in ("crps", "spread_skill"))
    ranks = model.mean("rank_histogram")[first:, 0] * (model.members + 1)
    return [
        {
            "lead": lead,
            "CRPS": round(crps[lead - 1].item(), 4),
            "exact": round(best, 4),
            "ratio": round(crps[lead - 1].item() / best, 4),
            "spread/skill": round(ratio[lead - 1].item(), 3),
            "rarest rank": round(ranks[lead - 1].min().item(), 2),
            "commonest": round(ranks[lead - 1].max().item(), 2),
        }
        for lead, best in enumerate(exact, start=1)
    ]


def run() -> dict[str, Any]:
    """Train, score, and compare with what can be known."""
    field = Field(SIDE)
    frames = field.sample(SEQUENCES, LENGTH)
    with TemporaryDirectory() as place:
        folder = Path(place)
        evaluation = score(ensemble_of(folder, frames), MEMBERS, LEADS)
    test = frames[-round(TEST * SEQUENCES) :]
    rows = compare(evaluation, exact_scores(field, test, evaluation.context, LEADS))
    for row in rows:
        assert row["ratio"] < 1.05, row  # type: ignore[operator]
        assert 0.9 < row["spread/skill"] < 1.1, row  # type: ignore[operator]
    print_table(f"An ensemble of {MEMBERS} on a linear stochastic field", rows)
    return {"windows": evaluation.windows, "leads": rows}
