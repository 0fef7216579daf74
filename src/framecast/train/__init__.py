"""Training: unrolling, losses, the loop and the run folder."""

from framecast.train.config import Experiment, TrainingConfig
from framecast.train.run import find_config, train

__all__ = ["Experiment", "TrainingConfig", "find_config", "train"]
