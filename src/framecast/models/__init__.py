"""What is trained: networks made of layers, and how they are unrolled over a window."""

from framecast.models.config import ForecasterConfig
from framecast.models.forecaster import Forecaster

__all__ = ["Forecaster", "ForecasterConfig"]
