"""Forecasts without a network, which a model has to beat."""

# Each baseline registers itself.
from framecast.forecast.baselines import advection, linear_inverse, simple  # noqa: F401
from framecast.forecast.baselines.baseline import BASELINES, Baseline, Following, Training
from framecast.forecast.baselines.climate import Climate

__all__ = ["BASELINES", "Baseline", "Climate", "Following", "Training"]
