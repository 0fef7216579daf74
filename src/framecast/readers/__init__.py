"""From files to frames: a reader for each kind of file, and what a path or a folder means."""
