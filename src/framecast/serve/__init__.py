"""Forecasts over HTTP, for programs on the same computer."""
