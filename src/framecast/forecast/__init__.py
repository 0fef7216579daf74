"""Forecasts: from past frames to the frames that follow, and into files."""

from framecast.forecast.rollout import forecast_file, rollout

__all__ = ["forecast_file", "rollout"]
