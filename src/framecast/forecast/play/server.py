"""The server of the page: on this computer alone, for who knows the secret in its address.

It listens on 127.0.0.1. Each address begins with a token that is drawn anew for each server, so
that no other page of the browser, nor another user of the computer, finds it; and requests that
name another host are refused, as a page would send that has had its own name pointed here.
"""

import json
import secrets
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.forecast.play.walks import EndedError, Walks
from framecast.forecast.worlds import Dreamer
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_saved
from framecast.runs.contents import source_of

HOST = "127.0.0.1"
PAGES = {
    "": ("play.html", "text/html"),
    "play.js": ("play.js", "text/javascript"),
    "play.css": ("play.css", "text/css"),
}
"""Files, by what follows the token."""
READ: dict[str, dict[str, type]] = {
    "begin": {"episode": int, "seed": int},
    "step": {"name": str, "action": int},
}
"""Methods of `Walks` that a page calls, and the values that it says."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MOST_ASKED = 10_000
"""Bytes of a request."""
PATIENCE = 30
"""Seconds that a connection may be silent."""


class Play(ThreadingHTTPServer):
    """Serves the page of a world model until it is closed.

    Args:
        walks: of its pages.
        port: 0 for any that is free.

    Raises:
        UserError: if the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, walks: Walks, port: int = 0) -> None:
        self.walks, self.token = walks, secrets.token_urlsafe(16)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--port {port} cannot be had ({error}): choose another") from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


def open_play(
    run: PathLike,
    episodes: Paths | None = None,
    *,
    context: int | None = None,
    port: int = 0,
    device: str = "auto",
) -> Play:
    """Return a server of the page of a world model; `serve_forever` serves.

    Args:
        run: its folder.
        episodes: at which walks begin; None for the test part of the data of the run.
        context: frames of an episode that are shown before the first step; None for as many as in
            training.
        port: that it listens on; 0 for any that is free.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Raises:
        UserError: if the run is no world model, there are no such episodes, or the port is taken.
    """
    dreamer = Dreamer(load_saved(run), device)
    source = source_of(run)
    if episodes is not None:
        frames = source.read(episodes, Selection.of(dreamer.saved.frames))
    elif (test := source.test()) is not None:
        frames = test
    else:
        raise UserError(f"{run} has no test part to begin at: name an episode, or a folder of them")
    size = dreamer.saved.context if context is None else context
    return Play(Walks(dreamer, frames, size), port)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request after another of a connection."""

    server: Play
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Send the page, what belongs to it, or what it needs to know."""
        place = self._place()
        if place == "world":
            self._send_json(HTTPStatus.OK, self.server.walks.about)
        elif place in PAGES:
            name, kind = PAGES[place]
            self._send(HTTPStatus.OK, _read(name), kind)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        """Begin a walk, or go a step on."""
        place = self._place()
        if place not in READ:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        asked = self._asked()
        if asked is None or {key: type(value) for key, value in asked.items()} != READ[place]:
            said = ", ".join(f"{key} ({kind.__name__})" for key, kind in READ[place].items())
            self._refuse(HTTPStatus.BAD_REQUEST, f"an object of JSON is needed with {said}")
            return
        try:
            self._send_json(HTTPStatus.OK, getattr(self.server.walks, place)(**asked))
        except EndedError as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _place(self) -> str | None:
        """What follows the token; None for who does not know it, or names another host."""
        known = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        _, token, *rest = [*self.path.split("/", 2), ""][:3]
        same = secrets.compare_digest(token.encode(), self.server.token.encode())
        return rest[0] if same and self.headers.get("Host") in known else None

    def _asked(self) -> dict[str, Any] | None:
        """What a request says; None for what is no small object of JSON."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_ASKED:
            self.close_connection = True
            return None
        content = self.rfile.read(int(length))
        try:
            asked = json.loads(content)
        except ValueError:
            return None
        return asked if isinstance(asked, dict) else None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send_json(status, {"error": why})

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content), "application/json")

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
