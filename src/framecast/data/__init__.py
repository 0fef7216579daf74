"""Where frames come from: readers, windows, statistics and simulated data sets."""
