"""Training: the loop around a model's losses, schedules, and memory."""

from framecast.train.folder import find_config
from framecast.train.run import train

__all__ = ["find_config", "train"]
