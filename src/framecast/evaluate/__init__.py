"""Evaluation: the scores of runs by lead time, beside persistence and climatology."""

from framecast.evaluate.runs import Run, load_runs
from framecast.evaluate.scoring import Evaluation, Forecasts, evaluate

__all__ = ["Evaluation", "Forecasts", "Run", "evaluate", "load_runs"]
