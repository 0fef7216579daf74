"""What crosses every boundary: frames with their labels, windows of them, statistics, times."""
