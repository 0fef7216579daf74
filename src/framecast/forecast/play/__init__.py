"""A page on which one walks through what a world model imagines, key by key."""

from framecast.forecast.play.server import Play, open_play

__all__ = ["Play", "open_play"]
