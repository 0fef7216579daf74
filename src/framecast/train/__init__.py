"""Training: the loop around a model's losses, schedules, and memory."""

from framecast.train.run import find_config, train

__all__ = ["find_config", "train"]
