"""Mistakes of the person at the keyboard, told from faults of the program."""


class UserError(ValueError):
    """What was given, what is allowed, where: one sentence. The command line prints it and exits with status 2."""
