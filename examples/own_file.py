"""From a file of one's own to a forecast and a report, in Python.

    python examples/own_file.py my_frames.nc out

On the command line `framecast inspect`, `train`, `evaluate` and `forecast` do the same, and
`inspect` proposes such settings.
"""

import sys
from pathlib import Path

from framecast import (
    DataConfig,
    Experiment,
    ForecasterConfig,
    TrainingConfig,
    evaluate,
    forecast_file,
    train,
)
from framecast.report import write_report


def learn(file: str, out: Path, epochs: int = 50) -> Path:
    """Train on a file; write a report, and the frames that follow the file. Return the run."""
    experiment = Experiment(
        DataConfig(path=file),
        ForecasterConfig(layer="min_conv_gru", depth=2, hidden=16, predicts="change"),
        TrainingConfig(context=2, horizon=1, epochs=epochs, batch_size=4, learning_rate=3e-3),
    )
    run = train(experiment, out=out / "run")
    write_report(evaluate([run]), out / "evaluation")
    forecast_file(run, [file], steps=4, out=out / "forecast.nc")
    return run


if __name__ == "__main__":
    learn(sys.argv[1], Path(sys.argv[2]))
