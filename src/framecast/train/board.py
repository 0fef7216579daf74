"""Curves for TensorBoard: one event file for each time that a run is begun or resumed."""

import time
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from framecast.train.state import Row


class Board:
    """Writes the rows of a log, each with its epoch as the step.

    It writes at once and in the caller's thread: the usual writer hands events to a thread of its
    own, which dies on a full disk and lets the program wait for it for ever.

    Args:
        folder: of the event files; made if missing.
        first: epoch of the first row to come. What killed processes wrote of it, and of later
            ones, is taken back.
    """

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(exist_ok=True)
        self._events = EventsWriter(str(folder / "events"))
        self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def add(self, row: Row) -> None:
        """Write the numbers of an epoch."""
        for name, value in row.items():
            self._write(Event(step=int(row["epoch"]), summary=summary.scalar(name, value)))
        self._events.flush()

    def close(self) -> None:
        """Close the event file."""
        self._events.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._events.write_event(event)
