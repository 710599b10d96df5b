"""The launcher's one error: a sentence that names what is wrong and what to do. Standard library only."""


class Trouble(Exception):  # noqa: N818 - it is no programming error, and its text is all a user sees
    """What keeps the stack from being set up or started; its text is for the user, and ends the command with exit 1."""
