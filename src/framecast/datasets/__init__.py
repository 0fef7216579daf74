"""The data sets that a configuration names, one a file; simulated ones in `simulate`."""
