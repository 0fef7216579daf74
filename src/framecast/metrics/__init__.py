"""Metrics: what is measured of predictions beside the truth, as sums that merge."""

from framecast.metrics.catalogue import ERRORS, IMAGES, METRICS, Metric
from framecast.metrics.choice import MetricChoice, Subject, prepare
from framecast.metrics.measure import Measure
from framecast.metrics.scores import ClipSums, Scores

__all__ = [
    "ERRORS",
    "IMAGES",
    "METRICS",
    "ClipSums",
    "Measure",
    "Metric",
    "MetricChoice",
    "Scores",
    "Subject",
    "prepare",
]
