"""What is trained: networks made of layers, and how they are unrolled over a window."""

from framecast.models.config import ForecasterConfig
from framecast.models.forecaster import Forecaster
from framecast.models.networks import make_network
from framecast.models.recogniser import Recogniser
from framecast.models.tokeniser import Tokeniser
from framecast.models.tokeniser_config import TokeniserConfig
from framecast.models.world import World

__all__ = [
    "Forecaster",
    "ForecasterConfig",
    "Recogniser",
    "Tokeniser",
    "TokeniserConfig",
    "World",
    "make_network",
]
