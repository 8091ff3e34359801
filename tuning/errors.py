"""The one error that a user can act on, and how all others are told."""


class UserError(Exception):
    """A mistake in the input: one line that says what is wrong, where, and what to do.

    Entry points print it without a traceback and exit with code 2.
    """


def one_line(error: BaseException) -> str:
    """An error of anybody's: its kind and what it says, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
