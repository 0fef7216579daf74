"""What is trained: networks made of layers, and how they are unrolled over a window."""

from framecast.models.config import ForecasterConfig
from framecast.models.forecaster import Forecaster
from framecast.models.networks import make_network
from framecast.models.recogniser import Recogniser

__all__ = ["Forecaster", "ForecasterConfig", "Recogniser", "make_network"]
