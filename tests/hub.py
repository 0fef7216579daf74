"""A stand-in for the Hugging Face Hub, as far as runs are shared there: repositories in memory.

It speaks what the client documents (https://huggingface.co/docs/hub/api): the client is the real
one.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Repositories:
    """What is on the hub.

    Attributes:
        files: content by name, of each repository.
        private: those that were made for their owners alone.
        asked: paths of all requests.
        sizes: by name of a file, one that is told in the place of the true one.
    """

    def __init__(self):
        self.files, self.private, self.asked, self.sizes = {}, set(), [], {}

    def listed(self, name):
        """What the hub says of the files of a repository."""
        for file, content in self.files[name].items():
            size = self.sizes.get(file, len(content))
            yield {"type": "file", "path": file, "rfilename": file, "oid": _digest(content)} | {
                "blobId": _digest(content),
                "size": size,
            }


@contextmanager
def served():
    """Serve a hub; yield its repositories and its address."""
    repositories = Repositories()

    class Handler(_Handler):
        hub = repositories

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield repositories, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Repositories

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.hub.asked.append(self.path)
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+|/tree/.+)?", path):
            name, what = found.groups()
            if name not in self.hub.files:
                return self._refuse(404, "RepoNotFound")
            if what and not what.endswith(("/main", COMMIT)):
                return self._refuse(404, "RevisionNotFound")
            files = list(self.hub.listed(name))
            about = {"id": name, "sha": COMMIT, "siblings": files}
            return self._answer(files if "/tree/" in path else about)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        if not found:
            return self._refuse(404, "EntryNotFound")
        name, file = found.groups()
        content = self.hub.files[name][file]
        told = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT}
        return self._send(content, "application/octet-stream", told)

    def do_POST(self):
        self.hub.asked.append(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            asked = json.loads(sent)
            name = f"{asked['organization']}/{asked['name']}"
            self.hub.files.setdefault(name, {})
            self.hub.private |= {name} if asked.get("visibility") == "private" else set()
            return self._answer({"url": f"https://huggingface.co/{name}", "name": name})
        if self.path.endswith("/validate-yaml"):
            return self._answer({"errors": [], "warnings": []})
        name = re.match(r"/api/models/([^/]+/[^/]+)/", self.path)[1]
        if "/preupload/" in self.path:
            files = [f["path"] for f in json.loads(sent)["files"]]
            modes = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self._answer({"files": modes})
        for line in map(json.loads, sent.splitlines()):
            if line["key"] == "file":
                value = line["value"]
                self.hub.files[name][value["path"]] = base64.b64decode(value["content"])
        return self._answer({"commitUrl": f"https://huggingface.co/{name}", "commitOid": COMMIT})

    def _answer(self, said):
        self._send(json.dumps(said).encode(), "application/json", {})

    def _refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content, kind, headers):
        self.send_response(200)
        for key, value in {"Content-Type": kind, "Content-Length": len(content), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _digest(content):
    return hashlib.sha1(content).hexdigest()
