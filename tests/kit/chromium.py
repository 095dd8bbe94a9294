"""A real browser for tests: headless Chromium, spoken to through a pipe in its DevTools protocol.

Each message is JSON that ends with a zero byte; the browser reads descriptor 3 and writes descriptor 4. No port is
opened, and nothing but the standard library is needed.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final

Json = dict[str, object]

_CONSOLE: Final = ("Runtime.consoleAPICalled", "Log.entryAdded")

SHIFT: Final = 8
_KEY_CODES: Final = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}


class BrowserError(Exception):
    """The browser is gone, or the page has thrown."""


class Browser:
    """One browser with one page. `complaints`: what the page wrote to the console as an error, or threw."""

    def __init__(self, program: str, profile: Path, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        read_there, self._write = os.pipe()
        self._read, write_there = os.pipe()
        command = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        # The shell puts the two descriptors where the browser looks for them.
        script = f'exec 3<&{read_there} 4>&{write_there}; exec "$0" "$@"'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, *command],
            pass_fds=(read_there, write_there),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._attach(width, height, dark)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _attach(self, width: int, height: int, dark: bool) -> None:
        made = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        self._session = str(attached["sessionId"])
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Network.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until the page says that it has been drawn."""
        self.call("Page.navigate", url="about:blank")  # or else another fragment of the same file would not load it
        self.call("Page.navigate", url=path.resolve().as_uri() + fragment)
        self.run(
            "new Promise((done) => { const look = () => document.readyState === 'complete' && window.raftView"
            " && !raftView.isDrawing ? done(true) : setTimeout(look, 10); look(); })"
        )

    def run(self, script: str) -> object:
        """The value of an expression on the page, awaited. Raises BrowserError if it throws."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise BrowserError(json.dumps(said["exceptionDetails"]))
        result = said["result"]
        return result.get("value") if isinstance(result, dict) else None

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key goes down and up; then the page has drawn."""
        code = _KEY_CODES.get(key, ord(key[0].upper()))
        text = {"text": key} if len(key) == 1 else {}
        common: Json = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)
        self.drawn()

    def type(self, text: str) -> None:
        """Write into whatever has the focus."""
        self.call("Input.insertText", text=text)
        self.drawn()

    def click(self, selector: str, modifiers: int = 0) -> None:
        """Click the middle of the first element that fits."""
        place = self.run(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        if not isinstance(place, list):
            raise BrowserError(f"no element fits {selector}")
        self.mouse("mousePressed", place[0], place[1], modifiers=modifiers, button="left", clickCount=1)
        self.mouse("mouseReleased", place[0], place[1], modifiers=modifiers, button="left", clickCount=1)
        self.drawn()

    def mouse(self, what: str, x: float, y: float, **more: object) -> None:
        """A mouse event at a place of the page."""
        self.call("Input.dispatchMouseEvent", type=what, x=x, y=y, **more)

    def drawn(self) -> None:
        """Wait for two frames."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def screenshot(self, path: Path) -> None:
        """The page as PNG."""
        self.drawn()
        path.write_bytes(base64.b64decode(str(self.call("Page.captureScreenshot", format="png")["data"])))

    def call(self, method: str, **parameters: object) -> Json:
        """Send a command and wait for its answer; what the browser tells meanwhile is noted."""
        self._number += 1
        message: Json = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                if "error" in said:
                    raise BrowserError(f"{method}: {said['error']}")
                result = said["result"]
                return result if isinstance(result, dict) else {}
            self._note(said)

    def _next(self) -> Json:
        while b"\0" not in self._buffer:
            piece = os.read(self._read, 1 << 16)
            if not piece:
                raise BrowserError("the browser has gone")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        said = json.loads(message)
        return said if isinstance(said, dict) else {}

    def _note(self, said: Json) -> None:
        parameters = said.get("params")
        text = json.dumps(parameters)
        method = said.get("method")
        is_error = '"type": "error"' in text or '"level": "error"' in text
        if method == "Runtime.exceptionThrown" or (is_error and method in _CONSOLE):
            self.complaints.append(text)
        elif method == "Network.requestWillBeSent" and isinstance(parameters, dict):
            request = parameters.get("request")
            self.requests.append(str(request.get("url")) if isinstance(request, dict) else text)
