"""Firefox as it is installed, driven over WebDriver BiDi, which it speaks by itself over a WebSocket. Playwright would
need a Firefox of its own making, and Selenium a driver that Debian does not ship."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from showing import PATIENCE

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "intl.accept_languages": "en-US",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
}
MOST = 64_000_000
"""Bytes of one answer; a screenshot is large."""


@dataclass
class Firefox:
    """One tab of a running Firefox."""

    connection: ClientConnection
    tab: str = ""
    errors: list[tuple[float, str]] = field(default_factory=list)
    """When, in milliseconds, and of what the browser's console complained."""
    _asked: int = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its answer; what the console says in between is kept."""
        self._asked += 1
        self.connection.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.connection.recv(timeout=PATIENCE / 1000))
            if said.get("method") == "log.entryAdded" and said["params"]["level"] == "error":
                self.errors.append((said["params"]["timestamp"], said["params"]["text"]))
            if said.get("id") == self._asked:
                assert said["type"] == "success", said
                return dict(said["result"])

    def complaints(self, since: float) -> list[str]:
        """What came since then: of a page that is left, a connection may complain later than it was broken."""
        return [text for moment, text in self.errors if moment >= since]

    def begin(self) -> None:
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.tab = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        self.ask("browsingContext.setViewport", context=self.tab, viewport={"width": 1280, "height": 800})

    def before_each_page(self, function: str) -> None:
        self.ask("script.addPreloadScript", functionDeclaration=function)

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def run(self, expression: str) -> Any:
        """What the expression comes to; a promise is waited for."""
        given = self.ask(
            "script.evaluate", expression=expression, target={"context": self.tab}, awaitPromise=True,
            resultOwnership="none",
        )  # fmt: skip
        assert given["type"] == "success", given
        return given["result"].get("value")

    def until(self, condition: str) -> None:
        self.run(
            f"""new Promise((resolve, reject) => {{
                const end = performance.now() + {PATIENCE};
                const look = () => {{
                    if ({condition}) resolve();
                    else if (performance.now() > end) reject(new Error({json.dumps(condition)} + ' has not come'));
                    else setTimeout(look, 50);
                }};
                look();
            }})"""
        )

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def give_files(self, selector: str, *paths: Path) -> None:
        found = self.ask("browsingContext.locateNodes", context=self.tab, locator={"type": "css", "value": selector})
        files = [str(path) for path in paths]
        self.ask("input.setFiles", context=self.tab, element={"sharedId": found["nodes"][0]["sharedId"]}, files=files)

    def keep(self, name: str) -> None:
        """A screenshot for people to look at, where they said that they want some."""
        if folder := os.environ.get("MANYFACES_ARTEFACTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            picture = self.ask("browsingContext.captureScreenshot", context=self.tab)["data"]
            (Path(folder) / f"firefox-{name}.png").write_bytes(base64.b64decode(picture))


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """A Firefox without a window and with a profile of its own; skips where none is installed."""
    names = ("firefox", "firefox-esr")
    program = os.environ.get("MANYFACES_FIREFOX") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Firefox is installed, so the page cannot be looked at: apt-get install firefox-esr")
    profile.mkdir()
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    command = [program, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(profile)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        try:
            with connect(f"{_listening(running)}/session", max_size=MOST, proxy=None) as connection:
                tab = Firefox(connection)
                tab.begin()
                yield tab
        finally:
            running.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.wait(PATIENCE / 1000)
            running.kill()


def _listening(running: subprocess.Popen[str]) -> str:
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if match := re.search(r"ws://\S+", line):
            # What it goes on to say must be read, or the pipe would fill and hold it up.
            threading.Thread(target=running.stderr.read, daemon=True).start()
            return match[0].rstrip("/")
    raise AssertionError(f"Firefox has not begun: {''.join(said)}")
