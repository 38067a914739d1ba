"""Chromium without a window, told what to do through its DevTools protocol.

Over two pipes (`--remote-debugging-pipe`), so that nothing but Python is needed: each
message is JSON and ends with a zero byte.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new --no-sandbox --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader --hide-scrollbars --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


class Page:
    """One page, what it wrote to its console and what it asked the network for."""

    def __init__(self, send_to, read_from):
        self._to, self._from = send_to, read_from
        self._number, self._session, self._rest = 0, None, b""
        self.errors, self.requests, self.loaded_s = [], [], None

    def call(self, method, **params):
        """The answer to one command; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _message(self, timeout_s=60.0):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], timeout_s)
            assert ready, "the browser does not answer"
            self._rest += os.read(self._from, 1 << 20)
        whole, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(whole)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method, params):
        if method == "Runtime.consoleAPICalled" and params["type"] in (
            "error",
            "warning",
        ):
            told = [str(a.get("value", a.get("description"))) for a in params["args"]]
            self.errors.append(" ".join(told))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:100])

    def attach(self):
        """A new empty page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def size(self, width, height, phone=False, dark=False, media=""):
        """The window's size in CSS pixels, and what the page is told of the device."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, path, ready="true"):
        """Opens a file and waits until the JavaScript `ready` is true; seconds."""
        began = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.run(f"document.readyState === 'complete' && !!({ready})"):
            assert time.monotonic() - began < 60, f"not ready: {self.errors}"
            time.sleep(0.02)
        self.loaded_s = time.monotonic() - began
        return self.loaded_s

    def run(self, script):
        """The value of a JavaScript expression."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def key(self, name, code=None, text=""):
        """Presses and releases a key."""
        common = {"key": name, "code": code or name}
        if name == "Tab":
            common["windowsVirtualKeyCode"] = 9
        if name == "Enter":
            common |= {"windowsVirtualKeyCode": 13, "text": "\r"}
        elif text:
            common["text"] = text
        self.call("Input.dispatchKeyEvent", type="keyDown", **common)
        common.pop("text", None)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path, whole=False):
        """Writes what is seen as PNG."""
        found = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self, path):
        """Prints to a file on A4."""
        found = self.call(
            "Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69
        )
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def browser(*more):
    """A page of a fresh Chromium, which ends with the block."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        command = [PROGRAM, *FLAGS, f"--user-data-dir={home}", *more]
        command += ["--remote-debugging-pipe"]
        script = f'exec "$@" 3<&{to_read} 4>&{from_write}'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(to_read, from_write),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        page = Page(to_write, from_read)
        try:
            page.attach()
            yield page
        finally:
            os.close(to_write)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(from_read)


def main(path):
    """Says how long a page takes to load, and what it complains of or asks for."""
    with browser() as page:
        page.size(1280, 900)
        seconds = page.open(path, "document.body.dataset.viewer")
        print(f"{seconds:.2f} s: {page.run('document.body.dataset.viewer')}")
        print("console:", page.errors or "nothing")
        print("requests:", [url for url in page.requests if url[:5] != "data:"])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
