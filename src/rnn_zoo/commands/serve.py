"""`rnn-zoo serve`: checkpoints -> a page in the browser, a tab for each task."""

import errno
import os
import socket
import sys
import threading

from .. import zoo
from ..checkpoints import look_for
from ..command_line import Parser
from ..errors import UserError
from ..models.ranges import Range
from ..space.needed import require_gradio
from . import start_libraries


def serve(argv: list[str]) -> int:
    parser = Parser(
        prog="rnn-zoo serve",
        description="Shows checkpoints at work in the browser, each in the tab of its task: write, tag, translate, "
        "classify. The page can be seen on this machine only, unless --host says otherwise, and needs no network.",
    )
    parser.add_argument(
        "checkpoint", nargs="*", help="folders, names of those that ship, or of models on the Hub [all that ship]"
    )
    parser.add_argument(
        "--port", type=int, within=Range(0, 2**16 - 1), default=7860, help="0 for any that is free [7860]"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at, 0.0.0.0 for all networks [127.0.0.1]"
    )
    args = parser.parse_args(argv)
    require_gradio()
    for checkpoint in args.checkpoint:
        look_for(checkpoint)
    start_libraries()
    port = free_port(args.host, args.port)
    names = args.checkpoint or zoo.names()
    if sys.stderr.isatty():
        print(f"loading {', '.join(names)} ...", file=sys.stderr)
    from ..space import app

    page = app.build(names)
    host = f"[{args.host}]" if ":" in args.host else args.host
    for variable in ("no_proxy", "NO_PROXY"):  # gradio asks its own page whether it is there
        os.environ[variable] = ",".join(filter(None, [os.environ.get(variable), "localhost", args.host]))
    try:
        app.launch(page, server_name=host, server_port=port, prevent_thread_lock=True, quiet=True)
    except OSError as error:  # somebody was faster
        raise in_use(port) from error
    print(f"{page.local_url}  (Ctrl-C ends it)", flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)
    return 0


def free_port(host: str, port: int) -> int:
    """The port, or if it is 0 a free one, after a look whether one may listen there.

    Raises:
        UserError: if not.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"host={host!r}: is no address of this machine") from error
    with socket.socket(*found[:3]) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(found[4])
        except PermissionError as error:
            raise UserError(f"port={port}: you may not listen there; take one from 1024 on, or --port 0") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise in_use(port) from error
            raise UserError(f"host={host!r}: is no address of this machine") from error
        return int(listener.getsockname()[1])


def in_use(port: int) -> UserError:
    return UserError(f"port={port}: is in use; take another, or --port 0 for one that is free")
