"""Solvers that make data sets, and the store that their trajectories are kept in."""
