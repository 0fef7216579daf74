"""What stands before and after the recurrences: between frames and features."""
