"""Training: unrolling, losses, the loop and the run folder."""

from framecast.train.config import Experiment, TrainingConfig
from framecast.train.run import load_experiment, train

__all__ = ["Experiment", "TrainingConfig", "load_experiment", "train"]
