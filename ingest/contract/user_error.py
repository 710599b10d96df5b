"""A mistake the user can mend, and the exit codes. Apart from `operating`, so that the pure core can raise it without its web server."""

from __future__ import annotations

EXIT_OK, EXIT_TROUBLE, EXIT_USAGE = 0, 1, 2


class UserError(Exception):
    """A mistake the user can mend. Its text is the whole message: what is wrong and what to do. Shown without a traceback."""

    def __init__(self, message: str, *, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
