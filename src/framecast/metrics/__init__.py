"""Metrics: what is measured of predictions beside the truth, as sums that merge."""

from framecast.metrics.bootstrap import LEVEL, Interval
from framecast.metrics.catalogue import ERRORS, IMAGES, METRICS, Metric
from framecast.metrics.choice import MetricChoice
from framecast.metrics.family import Family, Truth
from framecast.metrics.measure import Measure
from framecast.metrics.prepare import Subject, prepare
from framecast.metrics.scores import Scores
from framecast.metrics.weights import Weights

__all__ = [
    "ERRORS",
    "IMAGES",
    "LEVEL",
    "METRICS",
    "Family",
    "Interval",
    "Measure",
    "Metric",
    "MetricChoice",
    "Scores",
    "Subject",
    "Truth",
    "Weights",
    "prepare",
]
