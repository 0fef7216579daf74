"""framecast: forecast the next frames of anything that comes as a sequence of grids."""

from framecast.checkpoint import Checkpoint, load_checkpoint
from framecast.data.files import read_frames
from framecast.data.frames import Channel, Coordinate, Frames
from framecast.data.normalise import Statistics
from framecast.data.sources import DataConfig
from framecast.errors import UserError
from framecast.evaluate import evaluate
from framecast.forecast import forecast_file, rollout
from framecast.models import (
    Forecaster,
    ForecasterConfig,
    Recurrence,
    layer_names,
)
from framecast.ops import linear_scan, min_exp_lstm_scan, min_gru_scan, min_lstm_scan
from framecast.train import Experiment, TrainingConfig, train

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
