"""framecast: forecast the next frames of anything that comes as a sequence of grids."""

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.evaluate import evaluate
from framecast.forecast.rollout import forecast_file, rollout
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.statistics import Statistics
from framecast.layers import Recurrence, layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.ops import linear_scan, min_exp_lstm_scan, min_gru_scan, min_lstm_scan
from framecast.readers.open import read_frames
from framecast.runs.checkpoint import Checkpoint, load_checkpoint
from framecast.runs.config import Experiment, TrainingConfig
from framecast.train import train

__all__ = [
    "Channel",
    "Checkpoint",
    "Coordinate",
    "DataConfig",
    "Experiment",
    "Forecaster",
    "ForecasterConfig",
    "Frames",
    "Recurrence",
    "Statistics",
    "TrainingConfig",
    "UserError",
    "evaluate",
    "forecast_file",
    "layer_names",
    "linear_scan",
    "load_checkpoint",
    "min_exp_lstm_scan",
    "min_gru_scan",
    "min_lstm_scan",
    "read_frames",
    "rollout",
    "train",
]
