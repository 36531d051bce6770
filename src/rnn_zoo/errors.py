"""Mistakes of the person at the keyboard, told from faults of the program."""


class UserError(ValueError):
    """What was given, what is allowed, where: one sentence. The command line prints it and exits with status 2."""


def first_line(error: Exception) -> str:
    """What an error says first; its kind, if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
