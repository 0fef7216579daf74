"""Evaluation: the scores of runs by lead time, beside persistence and climatology."""

from framecast.evaluate.evaluation import evaluate
from framecast.evaluate.results import Comparison, Evaluation, Forecasts
from framecast.evaluate.runs import Run, load_runs
from framecast.evaluate.score_files import score_files

__all__ = ["Comparison", "Evaluation", "Forecasts", "Run", "evaluate", "load_runs", "score_files"]
