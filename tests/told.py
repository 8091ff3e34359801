"""What a worker tells of epochs, for those who play one."""

from typing import Any


def told(*epochs: dict[str, Any]) -> dict[str, Any]:
    """The result of a step of these."""
    return {**epochs[-1], "epochs": list(epochs)}
