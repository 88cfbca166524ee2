"""Drive headless Chromium through its DevTools protocol, on pipes instead of a socket."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NAMES


class Tab:
    """A page; what it logged as an error, and the addresses that it asked for."""

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write, self.buffer, self.number = read, write, b'', 0
        self.session: str | None = None
        self.errors: list[str] = []
        self.asked: list[str] = []

    def call(self, method: str, **params: Any) -> dict:
        """A command of the protocol; returns its result."""
        self.number += 1
        message = dict(id=self.number, method=method, params=params)
        if self.session:
            message['sessionId'] = self.session
        os.write(self.write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self.next_message(60)
            if answer.get('id') == self.number:
                assert 'error' not in answer, answer
                return answer['result']

    def next_message(self, seconds: float) -> dict:
        """The next answer or event; events are noted."""
        while b'\0' not in self.buffer:
            assert select.select([self.read], [], [], seconds)[0], 'Chromium does not answer'
            chunk = os.read(self.read, 1 << 20)
            assert chunk, 'Chromium has ended'
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b'\0')
        message = json.loads(text)
        params = message.get('params', {})
        if message.get('method') == 'Runtime.exceptionThrown':
            self.errors.append(json.dumps(params['exceptionDetails'])[:500])
        elif message.get('method') == 'Runtime.consoleAPICalled' and params['type'] == 'error':
            self.errors.append(json.dumps(params['args'])[:500])
        elif message.get('method') == 'Network.requestWillBeSent':
            self.asked.append(params['request']['url'])
        return message

    def open(self, address: str, width: int, height: int) -> None:
        """Load an address in a window of this size."""
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Page', 'Runtime', 'Network', 'DOM'):
            self.call(f'{domain}.enable')
        size = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call('Emulation.setDeviceMetricsOverride', **size)
        self.call('Page.navigate', url=address)

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call('Runtime.evaluate', expression=script, returnByValue=True)
        return found['result'].get('value')

    def wait(self, script: str, seconds: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.value(script)):
            assert time.monotonic() < end, f'not within {seconds} s: {script}; {self.errors}'
            time.sleep(0.2)
        return value

    def upload(self, selector: str, *files: Path) -> None:
        """Choose files in an <input type=file>."""
        root = self.call('DOM.getDocument')['root']['nodeId']
        node = self.call('DOM.querySelector', nodeId=root, selector=selector)['nodeId']
        self.call('DOM.setFileInputFiles', files=list(map(str, files)), nodeId=node)

    def screenshot(self, path: Path) -> None:
        """Write what is visible as a PNG."""
        path.write_bytes(base64.b64decode(self.call('Page.captureScreenshot')['data']))


@contextmanager
def open_tab(address: str, width: int = 1280, height: int = 900) -> Iterator[Tab]:
    """A tab with an address. Skips the test where there is no Chromium."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip('needs Chromium in PATH')
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()

    def connect() -> None:  # Chromium reads commands from 3 and writes answers to 4
        low, high = os.dup(their_read), os.dup(their_write)
        os.dup2(low, 3)
        os.dup2(high, 4)

    flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe']
    process = subprocess.Popen(
        [program, *flags, 'about:blank'], preexec_fn=connect, close_fds=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        tab = Tab(our_read, our_write)
        tab.open(address, width, height)
        yield tab
    finally:
        process.kill()
        process.wait()
        for pipe in (their_read, our_write, our_read, their_write):
            os.close(pipe)
