"""The run folder: its configuration, its checkpoints, and what it was made with."""
