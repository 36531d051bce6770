"""A headless Chromium, steered over its DevTools protocol through a pipe, so that no driver has to be installed.

with Browser(chromium()) as browser:
    browser.open("http://127.0.0.1:7860", width=360)
    browser.wait("document.querySelector('button')")
    assert browser.complaints == []
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
)
IN_CHROMIUM = (3, 4)  # where it reads commands, and where it writes

MIDDLE = """(() => {
    const element = %s;
    if (!element) return null;
    element.scrollIntoView({block: "center", behavior: "instant"});
    const box = element.getBoundingClientRect();
    const place = [box.x + box.width / 2, box.y + box.height / 2];
    return element.contains(document.elementFromPoint(...place)) ? place : null;
})()"""


def chromium() -> str | None:
    """The program, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def seen(selector: str, text: str | None = None) -> str:
    """JavaScript for the first element that can be seen and, unless that is `None`, holds just this text."""
    wanted = "" if text is None else f" && e.textContent.trim() == {json.dumps(text)}"
    visible = "e.checkVisibility({visibilityProperty: true, opacityProperty: true})"
    return f"[...document.querySelectorAll({json.dumps(selector)})].find(e => {visible}{wanted})"


class Browser:
    """One page of a browser with a profile of its own.

    Attributes:
        complaints: errors and warnings of the console, exceptions that nothing caught, and requests that failed.
        requested: the addresses that were asked for, `data:` and `blob:` left out.
    """

    def __init__(self, program: str):
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._profile = TemporaryDirectory(ignore_cleanup_errors=True)
        pairs = os.pipe(), os.pipe()
        self._to, self._from = pairs[0][1], pairs[1][0]
        # Away from 3 and 4, which are to be overwritten.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (pairs[0][0], pairs[1][1])]

        def place() -> None:
            for fd, number in zip(theirs, IN_CHROMIUM, strict=True):
                os.dup2(fd, number)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=IN_CHROMIUM,
            preexec_fn=place,
        )
        for fd in (*theirs, pairs[0][0], pairs[1][1]):
            os.close(fd)
        self._read = b""
        self._count = 0
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    # ---- the protocol ----
    def send(self, method: str, **parameters) -> dict[str, Any]:
        """The answer to a command; what happens meanwhile is noted."""
        self._count += 1
        command: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message.get("method", ""), message.get("params", {}))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            part = os.read(self._from, 1 << 16)
            if not part:
                raise RuntimeError("the browser has gone")
            self._read += part
        first, _, self._read = self._read.partition(b"\0")
        return json.loads(first)

    def _note(self, method: str, about: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if urlsplit(address).scheme not in ("data", "blob"):
                self.requested.append(address)
        elif method == "Network.loadingFailed" and not about.get("canceled"):
            self.complaints.append(f"failed: {about['errorText']}")
        elif method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            said = [str(value.get("value", value.get("description"))) for value in about["args"]]
            self.complaints.append(f"{about['type']}: {' '.join(said)}")
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{about['entry']['level']}: {about['entry']['text']}")

    # ---- the page ----
    def open(self, address: str, width: int, height: int = 900, dark: bool = False) -> None:
        """Opens an address in a window of `width` CSS pixels; up to 480 it is a phone's."""
        phone = width <= 480
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=address)
        self.wait(f"document.readyState == 'complete' && location.href.startsWith({json.dumps(address)})")

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> Any:
        """The value of an expression as soon as it is true; of an element, `True`."""
        script = f"(found => found instanceof Node || found)({script})"
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {script}")
            time.sleep(0.05)
        return value

    def click(self, script: str) -> None:
        """Clicks with the mouse into the middle of an element, which is scrolled to where it can be seen."""
        before = None
        while (place := self.wait(MIDDLE % script)) != before:  # until it stands still
            before = place
            time.sleep(0.1)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, script: str, text: str) -> None:
        """Writes a text in the place of what stands in a field, as a keyboard would."""
        self.click(script)
        self.run(f"({script}).select()")
        self.send("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """Keeps a picture of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(b64decode(data))
