"""How sure is a forecast: a network that predicts a distribution, and members drawn from it.

    python examples/ensemble.py out

Every cell walks by random steps of 0.1. The best forecast of it is that it stays where it is, and
its error grows as the root of the lead time: so should the spread of the members.
"""

import sys
from pathlib import Path

import numpy as np
import xarray

from framecast import DataConfig, Experiment, ForecasterConfig, TrainingConfig, forecast_file, train
from framecast.forecast.order import EnsembleOrder


def spread_of(out: Path, members: int = 50, epochs: int = 30) -> np.ndarray:
    """Train on walks, forecast with members; return their spread at lead 1 to 9."""
    out.mkdir(parents=True, exist_ok=True)
    steps = np.random.default_rng(0).normal(0, 0.1, (40, 24, 1, 6, 6))
    np.save(out / "walks.npy", steps.cumsum(1).astype(np.float32))
    experiment = Experiment(
        DataConfig(path=str(out / "walks.npy")),
        ForecasterConfig(depth=1, hidden=8, predicts="change", head="normal"),
        TrainingConfig(context=3, horizon=1, loss="head", epochs=epochs, learning_rate=1e-2),
    )
    run = train(experiment, out=out / "run")
    ensemble = EnsembleOrder(members=members)
    file = out / "members.nc"
    forecast_file(run, [out / "walks.npy"], steps=9, out=file, ensemble=ensemble)
    with xarray.open_dataset(file) as forecast:
        (name,) = forecast.data_vars
        spread = forecast[name].std("member")
        return spread.mean([d for d in spread.dims if "lead" not in d and d != "time"]).to_numpy()


if __name__ == "__main__":
    for lead, spread in enumerate(spread_of(Path(sys.argv[1])), start=1):
        print(f"lead {lead}: spread {spread:.3f}, of a walk {0.1 * lead**0.5:.3f}")
