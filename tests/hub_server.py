"""A Hugging Face Hub on this machine, for reading: as much of its protocol as loading data sets and models needs.

    with HubServer() as hub:
        hub.add("datasets/someone/toy", {"train.jsonl": '{"text": "a"}\\n'})
        subprocess.run(..., env={**os.environ, **hub.environment(tmp_path)})

`HF_ENDPOINT` is read when the libraries are imported, so the reader has to be a process of its own. A repository is a
dictionary of files with one commit, whose name is the hash of its contents; `hub.requests` lists what was asked for.
"""

import hashlib
import http.server
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = ("datasets", "spaces", "models")


@dataclass
class Repository:
    """Files by path, as one commit holds them."""

    files: dict[str, bytes]

    @property
    def commit(self) -> str:
        named = [(path, self.oid(path)) for path in sorted(self.files)]
        return hashlib.sha1(json.dumps(named).encode()).hexdigest()

    def oid(self, path: str) -> str:
        """Git's name of the file."""
        content = self.files[path]
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()

    def entry(self, path: str) -> dict:
        """What the Hub says of a file or a folder."""
        if path in self.files:
            return {"type": "file", "path": path, "size": len(self.files[path]), "oid": self.oid(path)}
        return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}

    def folders(self) -> set[str]:
        return {parent.as_posix() for path in self.files for parent in Path(path).parents} - {"."}

    def tree(self, folder: str, recursive: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        paths = [path for path in sorted(self.folders() | self.files.keys()) if path.startswith(prefix)]
        return [self.entry(path) for path in paths if recursive or "/" not in path[len(prefix) :]]


class HubServer:
    """Serves the repositories that `add` names, each `datasets/OWNER/NAME`, `models/OWNER/NAME` or `spaces/...`."""

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, files: dict[str, str | bytes]) -> None:
        assert name.split("/")[0] in KINDS, name
        self.repositories[name] = Repository(
            {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
        )

    def environment(self, home: Path) -> dict[str, str]:
        """What makes a new process read from here alone and keep all it fetches in `home`."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_MODULES_CACHE": str(home / "modules"),
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """The Hub's routes; `hub` is set by `HubServer`."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"")

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def answer(self, body: bytes) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        address = urlsplit(self.path)
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        if parts[0] == "api" and len(parts) > 3 and parts[1] in KINDS:
            self.answer_api("/".join(parts[1:4]), parts[4:], parse_qs(address.query), body)
        elif "resolve" in parts:
            place = parts.index("resolve")
            name = parts[:place] if parts[0] in KINDS else ["models", *parts[:place]]
            self.answer_file("/".join(name), parts[place + 1], "/".join(parts[place + 2 :]))
        else:
            self.send(404, b"", {"X-Error-Message": "no such route here"})

    def repository(self, name: str, revision: str) -> Repository | None:
        """The repository, or `None` after the Hub's way of saying that there is none."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", repository.commit):
            self.send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
            repository = None
        return repository

    def answer_api(self, name: str, route: list[str], query: dict[str, list[str]], body: bytes) -> None:
        repository = self.repository(name, route[1] if len(route) > 1 else "main")
        if repository is None:
            return
        if not route or route[0] == "revision":
            about = {"id": name.split("/", 1)[1], "sha": repository.commit, "private": False, "gated": False}
            about |= {"disabled": False, "downloads": 0, "likes": 0, "tags": []}
            self.send_json(about | {"siblings": [{"rfilename": path} for path in sorted(repository.files)]})
        elif route[0] == "tree":
            folder = "/".join(route[2:])
            if folder and folder not in repository.folders():
                self.send(404, b'{"error": "Entry not found"}', {"X-Error-Code": "EntryNotFound"})
            else:
                self.send_json(repository.tree(folder, query.get("recursive", [""])[0].lower() in ("1", "true")))
        elif route[0] == "paths-info":
            is_json = body.lstrip().startswith(b"{")
            wanted = json.loads(body)["paths"] if is_json else parse_qs(body.decode()).get("paths", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            known = repository.folders() | repository.files.keys()
            self.send_json([repository.entry(path) for path in wanted if path in known])
        else:
            self.send(404, b"", {"X-Error-Message": f"no route {route[0]} here"})

    def answer_file(self, name: str, revision: str, path: str) -> None:
        repository = self.repository(name, revision)
        if repository is None:
            return
        headers = {"X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if path not in repository.files:
            self.send(404, b"Entry not found", headers | {"X-Error-Code": "EntryNotFound"})
            return
        content, status = repository.files[path], 200
        headers["ETag"] = f'"{repository.oid(path)}"'
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            start, end = wanted.removeprefix("bytes=").split("-")
            first, last = int(start), min(int(end or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self.send(status, content, headers)

    def send_json(self, value) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass
