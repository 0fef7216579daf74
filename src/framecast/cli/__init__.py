"""The command line: each command parses its arguments in a file of its own, and calls.

Nothing heavy is imported before a command is known: its name picks the file, which is imported
then, and which has `parser` and `run`.
"""

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

from framecast.base.errors import StoppedError, ToldError, UserError, nearest
from framecast.cli.commands import COMMANDS

__all__ = ["COMMANDS", "main"]

DESCRIPTION = """\
Forecast the next frames of anything that comes as a sequence of grids: video, weather
fields, radar, fluid simulations. With data of your own:

  framecast inspect my_frames.nc
  framecast train my_frames.nc --out runs/first
  framecast evaluate runs/first --out runs/first/evaluation
  framecast forecast runs/first my_frames.nc --steps 24 --out forecast.nc

Without: framecast simulate navier_stokes --out data/navier_stokes
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 2: what was given cannot be used; the message says why. 130 and 143: stopped by
    Ctrl-C, and by SIGTERM. Any other error is a defect of framecast and shows its traceback.
    """
    first, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    said = "framecast"
    try:
        with _terminations_raised(), warnings.catch_warnings(), _one_voice():
            command = _known(_parser().parse_args([first]).command)
            said = f"framecast {command}"
            _check_shared(command)
            _say_own_warnings(said)
            rest = [_folder_of(word) for word in rest]
            import_module(f"framecast.cli.{COMMANDS[command].module}").run(rest)
            sys.stdout.flush()
    except BrokenPipeError:  # who read our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ToldError:
        return 2
    except (UserError, OSError) as error:
        if "--debug" in rest:
            raise
        return _say(said, error, 2)
    except (MemoryError, RuntimeError) as error:
        if "--debug" in rest or not _is_memory(error):
            raise
        return _say(said, f"there is not enough memory: {str(error) or 'for an array'}", 2)
    except StoppedError as error:
        return _say(said, error, 128 + error.number)
    except TerminatedError:
        return _say(said, UNFINISHED, 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return _say(said, UNFINISHED, 128 + signal.SIGINT)
    return 0


def _folder_of(word: str) -> str:
    """The folder that weights:NAME or hub:OWNER/NAME stands for; any other word as it is."""
    if word.startswith("weights:"):
        return str(import_module("framecast.runs.weights").take(word.removeprefix("weights:")))
    if word.startswith("hub:"):
        return str(import_module("framecast.runs.hub").named(word))
    return word


def _check_shared(command: str) -> None:
    """Refuse to do in several processes what one does."""
    if os.environ.get("WORLD_SIZE", "1") == "1" or COMMANDS[command].shared:
        return
    shared = ", ".join(name for name, entry in COMMANDS.items() if entry.shared)
    words = f"one process does this: start it without torchrun, which is for {shared}"
    raise UserError(words) if os.environ.get("RANK", "0") == "0" else ToldError(words)


@contextmanager
def _one_voice() -> Iterator[None]:
    """Of processes that share the work, let the first alone print results and notes."""
    if os.environ.get("RANK", "0") == "0":
        yield
        return
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _say_own_warnings(said: str) -> None:
    """Show what framecast warns of as a line, once; what other libraries warn of, not at all."""
    home, told = str(Path(__file__).parent.parent), set()

    def show(message: Warning | str, category: Any, filename: str, *_: Any, **__: Any) -> None:
        if filename.startswith(home) and str(message) not in told:
            told.add(str(message))
            print(f"{said}: note: {message}", file=sys.stderr)

    warnings.showwarning = show


UNFINISHED = "stopped. Nothing that was unfinished is left; what stood there before still stands"


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out; torch says so in words alone."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


class TerminatedError(BaseException):
    """The process was asked to end (SIGTERM): what is being written is removed on the way out."""


@contextmanager
def _terminations_raised() -> Iterator[None]:
    """Let SIGTERM raise, unless the program that calls has a handler of its own."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL or not _in_main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise_terminated(*_: object) -> NoReturn:
    raise TerminatedError


def _say(said: str, message: object, code: int) -> int:
    print(f"{said}: {message}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; framecast --help lists the commands")


class _Version(argparse.Action):
    """Shows the version; it is looked up then and not before, which takes a moment."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"framecast {version('framecast')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="framecast",
        usage="framecast COMMAND ...",
        description=DESCRIPTION,
        epilog=f"{_listing()}\nframecast COMMAND --help explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", help=argparse.SUPPRESS)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    return parser


def _known(name: str) -> str:
    if name not in COMMANDS:
        known = list(COMMANDS)
        raise UserError(f"there is no command {name}{nearest(name, known)}: {', '.join(known)}")
    return name


def _listing() -> str:
    """The commands, a line each, under the headings of their groups."""
    width, lines = max(map(len, COMMANDS)), []
    for group, names in groupby(COMMANDS, lambda name: COMMANDS[name].group):
        lines.append(f"{group}:")
        lines += [f"  {name:{width}}  {COMMANDS[name].summary}" for name in names]
    return "\n".join(lines) + "\n"
