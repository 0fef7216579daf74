"""framecast: forecast the next frames of anything that comes as a sequence of grids.

What stands in `__all__` is public, and so are the packages `framecast.layers`, `framecast.ops`,
`framecast.metrics`, `framecast.datasets` and `framecast.frames`. Each name is imported when it is
first used: a layer needs no library for files, plots or training.
"""

import sys
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framecast.base.config import load_config as load_config
    from framecast.base.errors import UserError as UserError
    from framecast.base.recipes import find_recipe as find_recipe
    from framecast.base.recipes import recipes as recipes
    from framecast.datasets.config import DataConfig as DataConfig
    from framecast.datasets.moving_mnist import MovingMnist as MovingMnist
    from framecast.datasets.simulate.navier_stokes import NavierStokes as NavierStokes
    from framecast.datasets.simulate.shallow_water import ShallowWater as ShallowWater
    from framecast.datasets.source import Source as Source
    from framecast.datasets.source import register_source as register_source
    from framecast.evaluate import Evaluation as Evaluation
    from framecast.evaluate import evaluate as evaluate
    from framecast.export import export as export
    from framecast.forecast.files import forecast_file as forecast_file
    from framecast.forecast.predictor import Predictor as Predictor
    from framecast.forecast.rollout import forecast_frames as forecast_frames
    from framecast.forecast.rollout import rollout as rollout
    from framecast.forecast.stream import Stream as Stream
    from framecast.forecast.stream import Streamer as Streamer
    from framecast.frames.batch import Batch as Batch
    from framecast.frames.frames import Channel as Channel
    from framecast.frames.frames import Coordinate as Coordinate
    from framecast.frames.frames import Frames as Frames
    from framecast.frames.lazy import Reader as Reader
    from framecast.frames.statistics import Statistics as Statistics
    from framecast.layers import CausalConv3D as CausalConv3D
    from framecast.layers import ConvGRU as ConvGRU
    from framecast.layers import ConvLSTM as ConvLSTM
    from framecast.layers import ConvS5 as ConvS5
    from framecast.layers import ConvSSM as ConvSSM
    from framecast.layers import ConvTTLSTM as ConvTTLSTM
    from framecast.layers import MinConvExpLSTM as MinConvExpLSTM
    from framecast.layers import MinConvGRU as MinConvGRU
    from framecast.layers import MinConvLSTM as MinConvLSTM
    from framecast.layers import Recurrence as Recurrence
    from framecast.layers import ResidualStack as ResidualStack
    from framecast.layers import SkipStack as SkipStack
    from framecast.layers import Transformer as Transformer
    from framecast.layers import layer_entry as layer_entry
    from framecast.layers import layer_names as layer_names
    from framecast.layers import register as register
    from framecast.layers.blocks import GridConv as GridConv
    from framecast.layers.blocks import make_norm as make_norm
    from framecast.layers.residual import ResidualBlock as ResidualBlock
    from framecast.metrics import METRICS as METRICS
    from framecast.metrics import Scores as Scores
    from framecast.models import Forecaster as Forecaster
    from framecast.models import ForecasterConfig as ForecasterConfig
    from framecast.models import Recogniser as Recogniser
    from framecast.ops import complex_diagonal_scan as complex_diagonal_scan
    from framecast.ops import conv_scan as conv_scan
    from framecast.ops import conv_tensor_train as conv_tensor_train
    from framecast.ops import linear_scan as linear_scan
    from framecast.ops import lstm_cell as lstm_cell
    from framecast.ops import min_exp_lstm_scan as min_exp_lstm_scan
    from framecast.ops import min_gru_scan as min_gru_scan
    from framecast.ops import min_lstm_scan as min_lstm_scan
    from framecast.ops import spectral_conv_scan as spectral_conv_scan
    from framecast.ops import tensor_train_conv as tensor_train_conv
    from framecast.readers.open import read_frames as read_frames
    from framecast.runs.checkpoint import Checkpoint as Checkpoint
    from framecast.runs.checkpoint import load_checkpoint as load_checkpoint
    from framecast.runs.config import TrainingConfig as TrainingConfig
    from framecast.runs.experiment import Experiment as Experiment
    from framecast.runs.hub import from_pretrained as from_pretrained
    from framecast.runs.hub import push_to_hub as push_to_hub
    from framecast.runs.hub import save_pretrained as save_pretrained
    from framecast.runs.weights import take as take
    from framecast.train import train as train

PACKAGES = ("datasets", "frames", "layers", "metrics", "ops")
"""The packages that are public."""

_HOMES = MappingProxyType(
    {
        "base.config": ("load_config",),
        "base.errors": ("UserError",),
        "base.recipes": ("find_recipe", "recipes"),
        "datasets.config": ("DataConfig",),
        "datasets.moving_mnist": ("MovingMnist",),
        "datasets.simulate.navier_stokes": ("NavierStokes",),
        "datasets.simulate.shallow_water": ("ShallowWater",),
        "datasets.source": ("Source", "register_source"),
        "evaluate": ("Evaluation", "evaluate"),
        "export": ("export",),
        "forecast.predictor": ("Predictor",),
        "forecast.files": ("forecast_file",),
        "forecast.rollout": ("forecast_frames", "rollout"),
        "forecast.stream": ("Stream", "Streamer"),
        "frames.batch": ("Batch",),
        "frames.frames": ("Channel", "Coordinate", "Frames"),
        "frames.lazy": ("Reader",),
        "frames.statistics": ("Statistics",),
        "layers": (
            *("CausalConv3D", "ConvGRU", "ConvLSTM", "ConvS5", "ConvSSM", "ConvTTLSTM"),
            *(
                "MinConvExpLSTM",
                "MinConvGRU",
                "MinConvLSTM",
                "Recurrence",
                "ResidualStack",
                "SkipStack",
            ),
            *("Transformer", "layer_entry", "layer_names", "register"),
        ),
        "layers.blocks": ("GridConv", "make_norm"),
        "layers.residual": ("ResidualBlock",),
        "metrics": ("METRICS", "Scores"),
        "models": ("Forecaster", "ForecasterConfig", "Recogniser"),
        "ops": (
            *("complex_diagonal_scan", "conv_scan", "conv_tensor_train", "linear_scan"),
            *("lstm_cell", "min_exp_lstm_scan", "min_gru_scan", "min_lstm_scan"),
            *("spectral_conv_scan", "tensor_train_conv"),
        ),
        "readers.open": ("read_frames",),
        "runs.checkpoint": ("Checkpoint", "load_checkpoint"),
        "runs.config": ("TrainingConfig",),
        "runs.experiment": ("Experiment",),
        "runs.hub": ("from_pretrained", "push_to_hub", "save_pretrained"),
        "runs.weights": ("take",),
        "train": ("train",),
    }
)
"""The public names, by the module that each comes from."""

_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in PACKAGES:
        return import_module(f"framecast.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'framecast' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"framecast.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *PACKAGES})


class _Door(ModuleType):
    """A module whose functions are not hidden by its packages of the same names.

    When framecast.train is imported, Python sets `framecast.train` to that package; here it
    stays the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
