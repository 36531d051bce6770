"""A Hugging Face Hub on this machine: as much of its protocol as data sets, models and Spaces need, to read and
to write.

    with HubServer() as hub:
        hub.add("datasets/someone/toy", {"train.jsonl": '{"text": "a"}\\n'})
        subprocess.run(..., env={**os.environ, **hub.environment(tmp_path)})

`HF_ENDPOINT` is read when the libraries are imported, so the client has to be a process of its own. A repository is a
history of commits, each a dictionary of files; `hub.requests` lists what was asked for.

Writing is strict, as the Hub is: a token with the right to it (`hub.let_write`), lengths and hashes that are what they
are said to be, commits of nothing that was not uploaded. What is not so gets status 400 and a line in `hub.refused`.
Large files stand on a server of their own, as they do at the Hub, where no token may arrive.

`hub.fail` makes the n-th of the requests that match fail, with a status or by a cut connection.
"""

import base64
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

KINDS = ("datasets", "spaces", "models")
LARGE = (".safetensors", ".bin", ".pt", ".pth", ".png")  # what .gitattributes gives to the large files
SDKS = ("gradio", "docker", "static")
LARGEST_REGULAR = 10 << 20  # bytes


class Refused(Exception):
    """What a client has done wrong."""


@dataclass
class Commit:
    """Files by path, as one commit holds them."""

    files: dict[str, bytes]
    title: str = ""
    parent: str | None = None

    @property
    def name(self) -> str:
        named = [self.parent, self.title, [(path, self.oid(path)) for path in sorted(self.files)]]
        return hashlib.sha1(json.dumps(named).encode()).hexdigest()

    def oid(self, path: str) -> str:
        """Git's name of the file; of a large one, of what stands for it."""
        content = self.files[path]
        if is_large(path):
            head = "version https://git-lfs.github.com/spec/v1\noid sha256:"
            content = f"{head}{sha256(content)}\nsize {len(content)}\n".encode()
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()

    def entry(self, path: str) -> dict:
        """What the Hub says of a file or a folder."""
        if path not in self.files:
            return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
        size = len(self.files[path])
        entry = {"type": "file", "path": path, "size": size, "oid": self.oid(path)}
        if is_large(path):
            entry["lfs"] = {"oid": sha256(self.files[path]), "size": size, "pointerSize": 134}
        return entry

    def folders(self) -> set[str]:
        return {parent.as_posix() for path in self.files for parent in Path(path).parents} - {"."}

    def tree(self, folder: str, recursive: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        paths = [path for path in sorted(self.folders() | self.files.keys()) if path.startswith(prefix)]
        return [self.entry(path) for path in paths if recursive or "/" not in path[len(prefix) :]]


@dataclass
class Repository:
    """Commits by name, the branches, and the large files that have arrived, committed or not."""

    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    objects: dict[str, bytes] = field(default_factory=dict)  # by their sha256
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)  # of objects that are under way

    def put(self, commit: Commit, branch: str = "main") -> str:
        self.commits[commit.name] = commit
        self.branches[branch] = commit.name
        self.objects |= {sha256(content): content for path, content in commit.files.items() if is_large(path)}
        return commit.name

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))

    @property
    def files(self) -> dict[str, bytes]:
        """Of the main branch."""
        return self.commits[self.branches["main"]].files

    @property
    def titles(self) -> list[str]:
        """Of the main branch's commits, the last one first."""
        found, name = [], self.branches["main"]
        while name is not None:
            found.append(self.commits[name].title)
            name = self.commits[name].parent
        return found

    def ignores(self, path: str, rules: str | None) -> bool:
        """Whether .gitignore keeps a file out: names, and names that begin at the top (`/name`)."""
        if rules is None:
            rules = self.files.get(".gitignore", b"").decode()
        return any(rule in (f"/{path}", path.rpartition("/")[2]) for rule in rules.split())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith(LARGE)


def kind_of(path: str) -> tuple[str, str]:
    """`"spaces/some/toy"` -> `("spaces", "some/toy")`; without a kind it is a model's."""
    first, _, rest = path.strip("/").partition("/")
    return (first, rest) if first in KINDS else ("models", path.strip("/"))


def address_of(name: str) -> str:
    """`"models/some/toy"` -> `"some/toy"`; other kinds stand in addresses."""
    return name.removeprefix("models/")


@dataclass
class Fault:
    """What happens to requests that match, from the `first` on, `count` times."""

    match: re.Pattern
    status: int | None
    headers: dict[str, str]
    body: bytes
    cut: int | None
    first: int
    count: int
    seen: int = 0

    def strikes(self, request: str) -> bool:
        if not self.match.search(request):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.count


class HubServer:
    """Serves the repositories that `add` names, each `datasets/OWNER/NAME`, `models/OWNER/NAME` or `spaces/...`, and
    those that clients make.

    Args:
        part_size: larger files come in parts of so many bytes.
    """

    def __init__(self, part_size: int = 1 << 30):
        self.part_size = part_size
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.refused: list[str] = []
        self.faults: list[Fault] = []
        self.owners: dict[str, set[str]] = {}  # token -> the owners in whose name it may write
        self.lock = threading.RLock()
        hub, storage = (type(name, (handler,), {"hub": self}) for name, handler in HANDLERS.items())
        self._servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (hub, storage)]
        self.address, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def add(self, name: str, files: dict[str, str | bytes], branch: str = "main", **options) -> str:
        """Makes a repository, or a branch of one that is there, with one commit; returns the commit's name.

        Args:
            name: kind, owner and name.
            files: by path; text is UTF-8.
            branch: that points to the commit.
            options: fields of `Repository`.
        """
        assert name.split("/")[0] in KINDS, name
        contents = {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
        repository = self.repositories.setdefault(name, Repository()) if branch != "main" else Repository(**options)
        self.repositories[name] = repository
        return repository.put(Commit(contents), branch)

    def let_write(self, token: str, *owners: str) -> str:
        """Lets whoever has the token write in the name of these owners; without any, only read."""
        self.owners[token] = set(owners)
        return token

    def fail(
        self,
        match: str,
        status: int | None = None,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | dict = b"",
        cut: int | None = None,
        first: int = 1,
        count: int = 1,
    ) -> None:
        """Makes requests fail.

        Args:
            match: a regular expression that is looked for in `METHOD /path`; of the storage's, `METHOD STORAGE/path`.
            status: what is answered; everything else stays undone.
            headers, body: of the answer.
            cut: the connection is cut instead, after so many bytes of what the client sends or, if it sends nothing, of
                what it is sent.
            first: the first request that fails, from 1.
            count: how many do.
        """
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.faults.append(Fault(re.compile(match), status, headers or {}, body, cut, first, count))

    def environment(self, home: Path) -> dict[str, str]:
        """What makes a new process know the Hub by this server alone and keep all it fetches in `home`."""
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
            "HF_TOKEN": "",
            "HUGGING_FACE_HUB_TOKEN": "",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def __enter__(self) -> "HubServer":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """What both servers do; `hub` is set by `HubServer`."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    place = ""  # before the path, in `hub.requests`

    def do_GET(self):
        self.fault = None
        request, body = f"{self.command} {self.place}{self.path}", b""
        length = self.headers.get("Content-Length")
        if self.path == "/api/repos/create":  # which repository is not in the address
            body = self.rfile.read(int(length or 0))
            request += " {organization}/{name}".format(**json.loads(body))
        with self.hub.lock:
            self.hub.requests.append(request)
            self.fault = next((fault for fault in self.hub.faults if fault.strikes(request)), None)
        if self.fault is not None and self.fault.cut is not None and length:
            self.rfile.read(min(self.fault.cut, int(length) - 1))
            self.cut()
            return
        body = body or self.rfile.read(int(length or 0))
        if self.fault is not None and self.fault.status is not None:
            self.send(self.fault.status, self.fault.body, self.fault.headers)
            return
        try:
            if length is None and self.command in ("POST", "PUT"):
                raise Refused("no Content-Length")
            with self.hub.lock:
                self.answer(body)
        except (Refused, KeyError, ValueError, TypeError) as error:
            self.hub.refused.append(f"{request}: {error!r}")
            self.send(400, json.dumps({"error": f"{error}"}).encode(), {"Content-Type": "application/json"})

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self, body: bytes) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        """Ends the connection as a broken line does, without a last word."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def send_json(self, value, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send_content(self, content: bytes, headers: dict[str, str]) -> None:
        """A file, or the part of it that is asked for."""
        status, wanted = 200, self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            start, end = wanted.removeprefix("bytes=").split("-")
            first, last = int(start), min(int(end or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self.send(status, content, headers | {"Accept-Ranges": "bytes"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.cut is not None:
            self.wfile.write(content[: self.fault.cut])
            self.wfile.flush()
            self.close_connection = True  # in good order, so that what was sent arrives
        else:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class StorageHandler(Handler):
    """Where large files are: `/OWNER/NAME/SHA256` whole, `/OWNER/NAME/SHA256/PART` in parts; a Space's below
    `/spaces`."""

    place = "STORAGE"

    def answer(self, body: bytes) -> None:
        if self.headers.get("Authorization"):
            raise Refused("a token of the Hub has arrived at the storage")
        kind, path = kind_of(self.path)
        owner, name, oid, *part = path.split("/")
        repository = self.hub.repositories[f"{kind}/{owner}/{name}"]
        if self.command != "PUT":
            self.send_content(repository.objects[oid], {"ETag": f'"{oid}"'})
            return
        if part:
            repository.parts[oid, int(part[0])] = body
        elif sha256(body) != oid:
            raise Refused("the content is not what its name says")
        else:
            repository.objects[oid] = body
        self.send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})


class HubHandler(Handler):
    """The Hub's routes."""

    def answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        lfs = re.fullmatch(r"/(.+)\.git/info/lfs/objects/(\w+)", address.path)
        if parts == ["api", "repos", "create"]:
            self.create(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self.validate_card(**json.loads(body))
        elif parts[0] == "api" and len(parts) > 3 and parts[1] in KINDS:
            self.answer_api("/".join(parts[1:4]), parts[4:], parse_qs(address.query), body)
        elif "resolve" in parts:
            place = parts.index("resolve")
            name = parts[:place] if parts[0] in KINDS else ["models", *parts[:place]]
            self.answer_file("/".join(name), parts[place + 1], "/".join(parts[place + 2 :]))
        elif lfs:
            self.answer_large("/".join(kind_of(lfs[1])), lfs[2], json.loads(body))
        else:
            self.send(404, b"", {"X-Error-Message": "no such route here"})

    # ---- who may do what ----
    @property
    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def may_write(self, owner: str) -> bool:
        """Whether the client may; if not, it has been told."""
        if self.token not in self.hub.owners:
            self.send_json({"error": f"Invalid username or password: {self.token}"}, 401)
            return False
        if owner not in self.hub.owners[self.token]:
            self.send_json({"error": f"You don't have the rights to write in the name of {owner}"}, 403)
            return False
        return True

    def repository(self, name: str) -> Repository | None:
        """The repository, or `None` after the Hub's way of saying that there is none."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and self.token not in self.hub.owners):
            status = 404 if self.token in self.hub.owners else 401
            self.send(status, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return None
        return found

    def commit_at(self, repository: Repository, revision: str) -> Commit | None:
        """A commit, or `None` after the Hub's way of saying that there is none."""
        found = repository.at(revision)
        if found is None:
            self.send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        return found

    # ---- making ----
    def create(self, wanted: dict) -> None:
        kind = wanted.get("type", "model")
        known = {"name", "organization", "type", "visibility"} | ({"sdk"} if kind == "space" else set())
        if set(wanted) - known or kind not in ("model", "space"):
            raise Refused(f"asks for {wanted}")
        if kind == "space" and wanted["sdk"] not in SDKS:
            raise Refused(f"sdk is {wanted['sdk']}")
        name = f"{kind}s/{wanted['organization']}/{wanted['name']}"
        url = f"{self.hub.address}/{address_of(name)}"
        if not self.may_write(wanted["organization"]):
            return
        if name in self.hub.repositories:
            self.send_json({"error": f"You already created this {kind} repo", "url": url}, 409)
            return
        private = wanted.get("visibility") == "private"
        self.hub.add(name, {".gitattributes": "*.safetensors filter=lfs\n"}, private=private)
        self.send_json({"url": url, "name": f"{wanted['organization']}/{wanted['name']}"})

    def validate_card(self, content: str, repoType: str = "model") -> None:
        found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        about = yaml.safe_load(found[1]) if found else None
        errors = []
        if found is not None and not isinstance(about, dict):
            errors.append('"metadata" must be of type object')
        elif repoType == "space":
            errors += [f'"{key}" is required' for key in ("title", "sdk", "app_file") if not (about or {}).get(key)]
            if about and (about.get("sdk") not in SDKS or not isinstance(about.get("sdk_version"), str)):
                errors.append('"sdk" must be one of [gradio, docker, static], and "sdk_version" a string')
        if errors:
            self.send_json({"errors": [{"message": message} for message in errors], "warnings": []}, 400)
        elif found is None:
            self.send_json({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
        else:
            self.send_json({"errors": [], "warnings": []})

    # ---- the API of a repository ----
    def answer_api(self, name: str, route: list[str], query: dict[str, list[str]], body: bytes) -> None:
        repository = self.repository(name)
        if repository is None:
            return
        what, revision = route[0] if route else "revision", route[1] if len(route) > 1 else "main"
        if what in ("preupload", "commit", "branch") and not self.may_write(name.split("/")[1]):
            return
        if what == "branch":
            self.make_branch(repository, revision, json.loads(body).get("startingPoint", "main"))
            return
        commit = self.commit_at(repository, revision)
        if commit is None:
            return
        if what == "revision":
            about = {"id": name.split("/", 1)[1], "sha": commit.name, "private": repository.private, "gated": False}
            about |= {"disabled": False, "downloads": 0, "likes": 0, "tags": []}
            self.send_json(about | {"siblings": [{"rfilename": path} for path in sorted(commit.files)]})
        elif what == "tree":
            folder = "/".join(route[2:])
            if folder and folder not in commit.folders():
                self.send(404, b'{"error": "Entry not found"}', {"X-Error-Code": "EntryNotFound"})
            else:
                self.send_json(commit.tree(folder, query.get("recursive", [""])[0].lower() in ("1", "true")))
        elif what == "paths-info":
            is_json = body.lstrip().startswith(b"{")
            wanted = json.loads(body)["paths"] if is_json else parse_qs(body.decode()).get("paths", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            known = commit.folders() | commit.files.keys()
            self.send_json([commit.entry(path) for path in wanted if path in known])
        elif what == "preupload":
            self.say_how_to_upload(repository, commit, json.loads(body))
        elif what == "commit":
            self.make_commit(name, repository, revision, body)
        else:
            self.send(404, b"", {"X-Error-Message": f"no route {what} here"})

    def make_branch(self, repository: Repository, branch: str, start: str) -> None:
        if branch in repository.branches:
            self.send_json({"error": "Reference already exists"}, 409)
            return
        repository.branches[branch] = repository.branches.get(start, start)
        self.send_json({}, 201)

    def say_how_to_upload(self, repository: Repository, commit: Commit, wanted: dict) -> None:
        answers = []
        for file in wanted["files"]:
            path, size = file["path"], file["size"]
            if len(base64.b64decode(file["sample"], validate=True)) != min(size, 512):
                raise Refused(f"{path}: the sample is not the first 512 bytes")
            answer = {"path": path, "uploadMode": "lfs" if is_large(path) or size > LARGEST_REGULAR else "regular"}
            answer["shouldIgnore"] = repository.ignores(path, wanted.get("gitIgnore"))
            if path in commit.files:
                answer["oid"] = sha256(commit.files[path]) if is_large(path) else commit.oid(path)
            answers.append(answer)
        self.send_json({"files": answers})

    def make_commit(self, name: str, repository: Repository, branch: str, body: bytes) -> None:
        """All of it or nothing."""
        if self.headers.get("Content-Type") != "application/x-ndjson":
            raise Refused("a commit is lines of JSON")
        if branch not in repository.branches:
            raise Refused(f"{branch} is no branch")
        head, *steps = [json.loads(line) for line in body.splitlines()]
        parent = repository.branches[branch]
        if head["key"] != "header" or not head["value"]["summary"]:
            raise Refused("a commit begins with its title")
        if head["value"].get("parentCommit", parent) != parent:
            self.send_json({"error": "A commit has happened since"}, 412)
            return
        files = dict(repository.commits[parent].files)
        for step in steps:
            value = step["value"]
            path = value["path"]
            if path.startswith("/") or {"..", ".git"} & {*path.split("/")}:
                raise Refused(f"{path}: is not inside the repository")
            if step["key"] == "file":
                content = base64.b64decode(value["content"], validate=True)
                if value["encoding"] != "base64" or is_large(path) or len(content) > LARGEST_REGULAR:
                    raise Refused(f"{path}: is not to come with the commit")
                files[path] = content
            elif step["key"] == "lfsFile":
                content = repository.objects.get(value["oid"])
                if content is None or value["algo"] != "sha256" or value["size"] != len(content):
                    raise Refused(f"{path}: was never uploaded as {value}")
                files[path] = content
            elif step["key"] == "deletedFile":
                del files[path]
            else:
                raise Refused(f"what is {step['key']}?")
        made = repository.put(Commit(files, head["value"]["summary"], parent), branch)
        url = f"{self.hub.address}/{address_of(name)}/commit/{made}"
        self.send_json({"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})

    # ---- large files ----
    def answer_large(self, name: str, what: str, wanted: dict) -> None:
        repository = self.hub.repositories.get(name)
        if what != "complete":  # of which the address is a permission in itself, as those at the storage are
            repository = self.repository(name)
            if repository is None or not self.may_write(name.split("/")[1]):
                return
        if repository is None:
            raise Refused("no such repository")
        if what == "batch":
            if wanted["operation"] != "upload" or wanted["hash_algo"] != "sha256":
                raise Refused(f"asks for {wanted}")
            objects = [self.way_of(name, repository, one["oid"], one["size"]) for one in wanted["objects"]]
            self.send_json({"transfer": "basic", "objects": objects})
        elif what == "verify":
            if len(repository.objects[wanted["oid"]]) != wanted["size"]:
                raise Refused("has another length")
            self.send_json({})
        elif what == "complete":
            numbers = [part["partNumber"] for part in wanted["parts"]]
            parts = [repository.parts.pop((wanted["oid"], number)) for number in numbers]
            etags = [f'"{hashlib.md5(part).hexdigest()}"' for part in parts]
            content = b"".join(parts)
            if numbers != [*range(1, len(parts) + 1)] or etags != [part["etag"] for part in wanted["parts"]]:
                raise Refused("the parts are others")
            if sha256(content) != wanted["oid"]:
                raise Refused("the parts do not make up the file")
            repository.objects[wanted["oid"]] = content
            self.send_json({})
        else:
            raise Refused(f"what is {what}?")

    def way_of(self, name: str, repository: Repository, oid: str, size: int) -> dict:
        """Where an object is to be sent; nowhere, if it is there."""
        answer: dict = {"oid": oid, "size": size}
        if oid in repository.objects:
            return answer
        path = address_of(name)
        to, here = f"{self.hub.storage}/{path}/{oid}", f"{self.hub.address}/{path}.git/info/lfs/objects"
        upload: dict = {"href": to}
        if size > self.hub.part_size:
            count = -(-size // self.hub.part_size)
            parts = {f"{number:05}": f"{to}/{number}" for number in range(1, count + 1)}
            upload = {"href": f"{here}/complete", "header": {"chunk_size": str(self.hub.part_size), **parts}}
        return answer | {"actions": {"upload": upload, "verify": {"href": f"{here}/verify"}}}

    # ---- files ----
    def answer_file(self, name: str, revision: str, path: str) -> None:
        repository = self.repository(name)
        if repository is None:
            return
        if repository.gated and self.token not in self.hub.owners:
            self.send(403, b"Access to this model is restricted", {"X-Error-Code": "GatedRepo"})
            return
        commit = self.commit_at(repository, revision)
        if commit is None:
            return
        headers = {"X-Repo-Commit": commit.name}
        if path not in commit.files:
            self.send(404, b"Entry not found", headers | {"X-Error-Code": "EntryNotFound"})
        elif is_large(path):
            content = commit.files[path]
            headers |= {"X-Linked-ETag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
            headers["Location"] = f"{self.hub.storage}/{address_of(name)}/{sha256(content)}"
            self.send(302, b"", headers)
        else:
            self.send_content(commit.files[path], headers | {"ETag": f'"{commit.oid(path)}"'})


HANDLERS = {"BoundHubHandler": HubHandler, "BoundStorageHandler": StorageHandler}
