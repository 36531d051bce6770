"""To the Hugging Face Hub and back: a checkpoint goes up whole or not at all, and what comes down is never run.

Both ways every fault is one sentence, a `UserError` or a `HubError`, and no sentence holds a token.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_session, get_token, snapshot_download
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers, validate_repo_id

from .checkpoint_files import files_for_others
from .errors import HubError, UserError, first_line

# httpx or, in later versions of the client, httpx2.
httpx: Any = sys.modules[HfHubHTTPError.__bases__[0].__module__.partition(".")[0]]

LONGEST_WAIT = 10  # seconds that a command waits because the Hub says so; it is told of longer ones
PAUSES = (1, 2, 4, 8, 8)  # seconds before each further try of a call, as the client makes them of its transfers
PASSING = (429, 500, 502, 503, 504)  # statuses of what may be over a moment later
# Requests that the client makes once: what there is, a new repository or branch, the commit of what has arrived.
MADE_ONCE = re.compile(r"/api/(repos/create|(models|datasets|spaces)/[^/]+(/[^/]+)?(/(revision|branch|commit)/.*)?)")
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
AGAIN = "run the command again, what has arrived is not sent twice"

# What is fetched of a checkpoint; no code, no pickle.
FETCHED = ["*.json", "model*.safetensors", "*.txt", "*.model", "*.jinja", "*.yaml"]


T = TypeVar("T")


# ---- up ----
def push(
    checkpoint: Path, repo_id: str, *, private: bool = False, revision: str | None = None, message: str | None = None
) -> str:
    """Uploads a checkpoint in one commit, which holds all of it; see `checkpoint_files.files_for_others`.

    A push that breaks leaves the branch as it was. Weights that have arrived are not sent again by the next one, nor
    are files that have not changed.

    Args:
        checkpoint: its folder.
        repo_id: `OWNER/NAME`; made if it is not there.
        private: whether a repository that is made is private; one that is there must be.
        revision: the branch, made from `main` if it is not there [`main`].
        message: the title of the commit.

    Returns:
        The address of the commit; if nothing had changed, that of the last one.

    Raises:
        UserError: for what is no checkpoint of ours, a wrong name, no token, or a card that the Hub refuses; nothing is
            sent but the card.
        HubError: if the Hub or the way to it fails.
    """
    meant, _ = files_for_others(checkpoint)
    return push_files(checkpoint, meant, repo_id, private=private, revision=revision, message=message)


def push_files(
    folder: Path,
    files: list[str],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    repo_type: str = "model",
) -> str:
    """Uploads files in one commit, as `push` does those of a checkpoint.

    Args:
        folder: where they are.
        files: their paths in it, with `/`.
        repo_id, private, revision, message: as of `push`.
        repo_type: `"model"`, or `"space"` for one that Gradio shows.
    """
    message = message or f"Upload {folder.resolve().name} with rnn-zoo"
    token = prepare_repository(repo_id, private=private, revision=revision, repo_type=repo_type)
    api = client(token)
    additions = [CommitOperationAdd(path_in_repo=file, path_or_fileobj=folder / file) for file in files]
    try:
        with told(f"{repo_id}: the push was not finished"), short_waits():
            commit = patiently(
                lambda: api.create_commit(
                    repo_id, additions, commit_message=message, revision=revision, repo_type=repo_type
                )
            )
            arrived = api.list_repo_files(repo_id, revision=commit.oid, repo_type=repo_type)
            missing = sorted({*files} - {*arrived})
    except HubError as error:
        for cause in causes_of(error):
            if isinstance(cause, BadRequestError) and cause.response.url.path.endswith("/validate-yaml"):
                said = plain(first_line(ValueError(cause.server_message)))
                raise UserError(
                    f"{folder / 'README.md'}: the Hub refuses what stands above the text: {said}"
                ) from error
        raise
    if missing:
        raise HubError(f"{repo_id}: the .gitignore of the repository keeps out {missing[0]}: take it out of there")
    return str(commit.commit_url)


def prepare_repository(
    repo_id: str, *, private: bool = False, revision: str | None = None, repo_type: str = "model"
) -> str:
    """Sees to it that there is a repository, and in it a branch, that can be pushed to; returns the token for that.

    Raises:
        UserError: for a wrong name, or without a token, before anything is sent; if the repository is public and must
            not be.
        HubError: if the Hub or the way to it fails.
    """
    check_repo_id(repo_id)
    check_branch(revision)
    token = get_token()
    if token is None:
        raise UserError(f"{repo_id}: a push needs a token of the Hub with the right to write: {LOG_IN}")
    api = client(token)
    with told(f"{repo_id}: nothing was pushed"), short_waits():
        sdk = "gradio" if repo_type == "space" else None
        patiently(
            lambda: api.create_repo(repo_id, private=private or None, repo_type=repo_type, space_sdk=sdk, exist_ok=True)
        )
        if private and not patiently(lambda: api.repo_info(repo_id, repo_type=repo_type)).private:
            raise UserError(f"private: {repo_id} is there already and is public; its settings on the Hub change that")
        if revision is not None and revision != constants.DEFAULT_REVISION:
            patiently(lambda: api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True))
    return token


def client(token: str) -> HfApi:
    return HfApi(token=token, library_name="rnn_zoo")


def check_repo_id(repo_id: str) -> None:
    """Raises `UserError` for what can be no name of a repository."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        named = False
    else:
        named = repo_id.count("/") == 1
    if not named:
        raise UserError(
            f"repo_id={repo_id!r}: must be OWNER/NAME, each up to 96 Latin letters, digits, -, _ and . (no --, no ..)"
        )


def check_branch(revision: str | None) -> None:
    """Raises `UserError` for what can be no branch."""
    if revision is None:
        return
    plain = re.fullmatch(r"[A-Za-z0-9_][\w./-]*", revision, re.ASCII) and revision[-1] not in "./"
    if not plain or ".." in revision or "//" in revision or revision.startswith("refs/"):
        raise UserError(f"revision={revision!r}: is no name of a branch (letters, digits, -, _, ., /)")
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(f"revision={revision!r}: is a commit; a push goes to a branch")


# ---- down ----
def fetch(name: str, revision: str | None = None, noun: str = "model") -> Path:
    """The folder of the cache that holds a checkpoint of the Hub, all its files of one commit, fetched where need be.

    Neither code nor pickles are fetched. Without the Hub, what the cache holds whole is taken.

    Args:
        name: of the model.
        revision: branch, tag or commit [`main`].
        noun: what a sentence calls such a model.

    Raises:
        UserError: if there is no such model, or no such revision.
        HubError: if the Hub or the way to it fails.
    """
    refused = f"{name}: no {noun} could be loaded"
    try:
        with told(refused), short_waits():
            folder = patiently(
                lambda: snapshot_download(name, revision=revision, allow_patterns=FETCHED, ignore_patterns=["*/*"])
            )
    except HubError as error:
        causes = list(causes_of(error))
        if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
            raise UserError(f"{refused}: it has no branch, tag or commit {revision!r}") from error
        if any(isinstance(cause, GatedRepoError) for cause in causes):
            raise HubError(
                f"{refused}: its owner wants to be asked, at {constants.ENDPOINT}/{name}; then {LOG_IN}"
            ) from error
        if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
            raise UserError(
                f"{refused}: there is no such folder, and no such model on the Hub or a private one ({LOG_IN})"
            ) from error
        if any(isinstance(cause, HFValidationError) for cause in causes):
            raise UserError(f"{refused}: there is no such folder, and it is no name of the Hub") from error
        if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
            raise UserError(
                f"{refused}: there is no such folder, it is not in the cache, and HF_HUB_OFFLINE keeps from the Hub"
            ) from error
        raise
    return Path(folder)


# ---- faults ----
class LongWait(RuntimeError):
    """What `short_waits` gives up with."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Makes a `HubError` of whatever the client of the Hub raises: `what` did not come about, and why."""
    try:
        yield
    except (HubError, UserError):
        raise
    except (OSError, ValueError, RuntimeError, httpx.HTTPError) as error:
        reason, token = reason_of(error), get_token()
        raise HubError(f"{what}: {reason.replace(token, '***') if token else reason}") from error


def patiently(call: Callable[[], T]) -> T:
    """What a call of the client gives, which is made again where it fails by what may pass; see `PAUSES`.

    The client itself repeats its transfers, but not the requests that are `MADE_ONCE`; of these alone the fault counts
    here. Where the Hub asks for a pause, that is the pause.
    """
    for pause in PAUSES:
        try:
            return call()
        except Exception as error:
            response = next((cause.response for cause in causes_of(error) if isinstance(cause, HfHubHTTPError)), None)
            if response is None or response.status_code not in PASSING:
                raise
            if not MADE_ONCE.fullmatch(response.request.url.path):
                raise
            asked = wait_of(response)
            if asked is not None and asked > LONGEST_WAIT:
                raise LongWait(too_often(asked)) from error
            time.sleep(pause if asked is None else asked)
    return call()


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reason_of(error: BaseException) -> str:
    """Why a call of the client failed, and what to do."""
    for cause in causes_of(error):
        if isinstance(cause, LongWait):
            return str(cause)
        if isinstance(cause, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE keeps from the Hub: unset it"
        if isinstance(cause, HfHubHTTPError) and cause.response is not None:
            return reason_of_status(cause.response, cause.server_message)
        if isinstance(cause, httpx.ConnectError):
            return f"{plain(constants.ENDPOINT)} cannot be reached: look after the connection, then {AGAIN}"
        if isinstance(cause, httpx.TimeoutException):
            return f"the Hub does not answer: {AGAIN}"
        if isinstance(cause, httpx.TransportError):
            return f"the connection to the Hub broke: {AGAIN}"
        if isinstance(cause, json.JSONDecodeError):
            return (
                f"what answers at {plain(constants.ENDPOINT)} does not speak as the Hub does: a little later, {AGAIN}"
            )
    return plain(first_line(error)) if isinstance(error, Exception) else type(error).__name__


def reason_of_status(response: Any, said: str | None) -> str:
    """The same for an answer of the Hub.

    Args:
        response: the answer.
        said: what it says in words.
    """
    status = response.status_code
    if status == 401:
        return f"the Hub does not know the token: {LOG_IN}"
    if status == 403:
        return "the token may not do that: it needs the right to write there (https://huggingface.co/settings/tokens)"
    if status == 404:
        return "the Hub has no such repository, or the token may not see it"
    if status in (409, 412):
        return f"somebody else is changing the repository: {AGAIN}"
    if status == 429:
        return too_often(wait_of(response))
    if status >= 500:
        return f"the Hub has a fault of its own (status {status}): a little later, {AGAIN}"
    return f"the Hub refuses (status {status}){': ' + plain(first_line(ValueError(said))) if said else ''}"


def too_often(seconds: int | None) -> str:
    when = "a little later" if seconds is None else f"in {seconds} s"
    return f"the Hub was asked too often: {when}, {AGAIN}"


def plain(text: str) -> str:
    """A text of others as one that a terminal does not obey; addresses without what may be a permission in them."""
    text = re.sub(r"(https?://)(?:[^\s/?@]*@)?([^\s?]*)(\?\S*)?", r"\1\2", text)
    return "".join(character if character.isprintable() else " " for character in text)


def wait_of(response: Any) -> int | None:
    """How many seconds the Hub wants one to wait."""
    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds
    asked = response.headers.get("Retry-After", "")
    return int(asked) if asked.isdecimal() else None


@contextmanager
def short_waits() -> Iterator[None]:
    """Within it, the client gives up where the Hub asks it to sleep for longer than `LONGEST_WAIT`."""

    def give_up(response: Any) -> None:
        seconds = wait_of(response) or 0
        if response.status_code in (429, 503) and seconds > LONGEST_WAIT:
            raise LongWait(too_often(seconds))

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "response": [*before["response"], give_up]}
    try:
        yield
    finally:
        session.event_hooks = before
