"""Forecasts: from past frames to the frames that follow, and into files."""

from framecast.forecast.files import forecast_file
from framecast.forecast.predictor import Predictor
from framecast.forecast.rollout import forecast_frames, rollout

__all__ = ["Predictor", "forecast_file", "forecast_frames", "rollout"]
