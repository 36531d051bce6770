"""Mistakes of the person at the keyboard, and failures of the Hub, told from faults of the program."""


class UserError(ValueError):
    """What was given, what is allowed, where: one sentence. The command line prints it and exits with status 2."""


class HubError(RuntimeError):
    """What failed at the Hub or on the way to it, and what to do: one sentence. The command line prints it and exits
    with status 1."""


class RunError(RuntimeError):
    """What ended a training early, what is left of it, and what to do. The command line prints it and exits with status
    1."""


def one_line(error: Exception) -> str:
    """All that an error says, on a line."""
    return " ".join(str(error).split())


def first_line(error: Exception) -> str:
    """What an error says first; its kind, if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
