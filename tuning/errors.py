"""The one error that a user can act on."""


class UserError(Exception):
    """A mistake in the input: one line that says what is wrong, where, and what to do.

    Entry points print it without a traceback and exit with code 2.
    """
