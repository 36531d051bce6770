"""What a process knows of the launcher that has started it with others: torchrun, or `accelerate launch`."""

import hashlib
import os
import sys
from pathlib import Path

# Set by torchrun, and so by `accelerate launch` for several processes: a file of this process, in a folder that those
# of the same machine have in common and that is removed at their end.
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
LAUNCHERS = ("accelerate", "torchrun", "torch.distributed.run", "accelerate.commands.launch")


def launched(command: list[str]) -> list[str]:
    """A command of ours behind the launcher with which this process was started; as it is where there was none.

    Args:
        command: `rnn-zoo` and its arguments.
    """
    launcher = launcher_of_this()
    if not launcher:
        return command
    if len(launcher) > 1 and not launcher[1].startswith("-"):  # python /somewhere/bin/torchrun
        launcher = [Path(launcher[1]).name, *launcher[2:]]
    else:
        launcher = ["python", *launcher[1:]]
    return [*launcher, *command[1:]]


def launcher_of_this() -> list[str]:
    """The launcher that has started this process, and its arguments up to ours; nothing where there was none."""
    import psutil  # accelerate needs it too

    try:
        started = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return []
    own = sys.argv[1:]
    if not own or started[-len(own) :] != own or not {*LAUNCHERS} & {Path(part).name for part in started[:3]}:
        return []
    return started[: -len(own)]


def asked_processes() -> int:
    """How many processes `accelerate launch` was asked for by `--num_processes`; 0 where it was not."""
    words = " ".join(launcher_of_this()).replace("=", " ").split()
    asked = words.index("--num_processes") + 1 if "--num_processes" in words else len(words)
    return int(words[asked]) if asked < len(words) and words[asked].isdigit() else 0


def is_told(sentence: str) -> bool:
    """Whether another process of the same launcher and machine has told a sentence; if not, this one is to do it."""
    if ERROR_FILE not in os.environ:
        return False
    name = f"told-{hashlib.sha256(sentence.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    place = Path(os.environ[ERROR_FILE]).parent.parent / name
    try:
        place.touch(exist_ok=False)
    except FileExistsError:
        return True
    except OSError:  # told twice is better than not at all
        return False
    return False
