"""A headless Chromium, driven by its DevTools protocol over a pipe: no library is needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser")) if p), None)
_PATIENCE = 60
"""Seconds that anything may take."""


class Browser:
    """A tab of a browser, with what its console said and what it asked the network for.

    Attributes:
        errors: of the console, and exceptions.
        requests: addresses that were asked for.
    """

    def __init__(self, read, write, profile):
        self.reader, self.writer, self.number = read, write, 0
        self.buffer, self.errors, self.requests = b"", [], []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Call a method of the protocol; return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self):
        while b"\0" not in self.buffer:
            part = os.read(self.reader, 1 << 20)
            assert part, "the browser is gone"
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method, said):
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"]["exception"].get("description", said))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.errors.append(said["args"])

    def evaluate(self, code):
        """Return the value of an expression of JavaScript, once it is there."""
        answer = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, code):
        """Wait until an expression holds."""
        end = time.monotonic() + _PATIENCE
        while not self.evaluate(f"Boolean({code})"):
            assert time.monotonic() < end, f"{code} never held; errors: {self.errors}"
            time.sleep(0.02)

    def open(self, path, width=1100, dark=False, reduced=False):
        """Open a file, or an address, in a window of a width, light or dark."""
        address = path if isinstance(path, str) else path.resolve().as_uri()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced else ""},
        ]
        self.call("Emulation.setEmulatedMedia", media="screen", features=features)
        self.errors, self.requests = [], []
        self.call("Page.navigate", url=address)
        self.until(f"location.href === {json.dumps(address)}")
        self.until("document.readyState === 'complete'")

    def screenshot(self, path, whole=True):
        """Write a picture of the page, or of what the window shows of it."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **(
            {"clip": {"x": 0, "y": 0, "scale": 1, **self._size()}} if whole else {}
        ))  # fmt: skip
        path.write_bytes(base64.b64decode(taken["data"]))

    def _size(self):
        return self.evaluate("({width: innerWidth, height: document.documentElement.scrollHeight})")

    def click(self, x, y):
        """Press and release the mouse at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, x, y):
        """Move the mouse to a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key):
        """Press and release a key, by its name in the DOM."""
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13}
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key,
                windowsVirtualKeyCode=codes.get(key, 32),
            )  # fmt: skip


@contextmanager
def chromium(folder):
    """Start a browser whose profile lies in a folder, and end it."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    switches = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
        "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
        "--disable-component-update", "--mute-audio", "--hide-scrollbars",
    )  # fmt: skip
    # The protocol is spoken over the descriptors 3 and 4, which the shell puts in place.
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                script,
                "bash",
                CHROMIUM,
                *switches,
                f"--user-data-dir={folder}/profile",
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=log,
            stderr=log,
        )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_in, ours_out, folder)
    finally:
        process.terminate()
        process.wait()
        os.close(ours_in)
        os.close(ours_out)
