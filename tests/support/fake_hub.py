"""A server on the loopback that answers huggingface_hub as the hub does: uploads and downloads."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = 'hf_of_the_test'
COMMIT = '1' * 40


@dataclass
class Hub:
    """What the server holds: files by repository and path, and the requests it got."""

    address: str = ''
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)  # of Git LFS, by sha256
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve_hub() -> Iterator[Hub]:
    """A running server."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            hub.asked.append(self.requestline)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers['Content-Length'] or 0))
            if self.headers['Authorization'] != f'Bearer {TOKEN}':
                self.answer(401, dict(error='Invalid credentials'))
            elif self.path == '/api/repos/create':
                settings = json.loads(body)
                name = f'{settings.get("organization", "owner")}/{settings["name"]}'
                hub.repos.setdefault(name, {})
                is_private = settings.get('private') or settings.get('visibility') == 'private'
                hub.private += [name] * bool(is_private)
                self.answer(200, dict(url=f'{hub.address}/{name}', name=name))
            elif self.path == '/api/validate-yaml':
                self.answer(200, dict(errors=[], warnings=[]))
            elif '/preupload/' in self.path:
                files = [
                    dict(path=file['path'], shouldIgnore=False, uploadMode=mode(file['path']))
                    for file in json.loads(body)['files']
                ]
                self.answer(200, dict(files=files))
            elif self.path.endswith('/info/lfs/objects/batch'):
                objects = [
                    dict(item, actions=dict(upload=dict(href=f'{hub.address}/lfs/{item["oid"]}')))
                    for item in json.loads(body)['objects']
                ]
                self.answer(200, dict(transfer='basic', objects=objects))
            elif '/commit/' in self.path:
                self.commit(self.path.partition('/api/models/')[2].partition('/commit/')[0], body)
            else:
                self.answer(404, dict(error=self.path))

        def commit(self, name: str, body: bytes) -> None:
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry['value']
                if entry['key'] == 'file':
                    hub.repos[name][value['path']] = base64.b64decode(value['content'])
                elif entry['key'] == 'lfsFile':
                    hub.repos[name][value['path']] = hub.objects[value['oid']]
            url = f'{hub.address}/{name}/commit/{COMMIT}'
            self.answer(200, dict(success=True, commitOid=COMMIT, commitUrl=url))

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers['Content-Length']))
            hub.objects[hashlib.sha256(content).hexdigest()] = content
            self.answer(200, {})

        def do_HEAD(self) -> None:
            self.file()

        def do_GET(self) -> None:
            self.file()

        def file(self) -> None:
            name, _, path = self.path.removeprefix('/').partition('/resolve/')
            content = hub.repos.get(name, {}).get(path.partition('/')[2])
            if content is None:
                self.answer(404, {}, {'X-Error-Code': 'EntryNotFound', 'X-Repo-Commit': COMMIT})
                return
            etag = hashlib.sha256(content).hexdigest()
            self.answer(200, content, {'ETag': f'"{etag}"', 'X-Repo-Commit': COMMIT})

        def answer(self, status: int, content: object, headers: dict | None = None) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            kind = 'octet-stream' if isinstance(content, bytes) else 'json'
            self.send_response(status)
            headers = {'Content-Type': f'application/{kind}', **(headers or {})}
            for key, value in {**headers, 'Content-Length': str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(data)

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        hub.address = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()


def mode(path: str) -> str:
    """How the hub takes a file."""
    return 'lfs' if path.endswith('.safetensors') else 'regular'
