"""What a step of `worker.Worker` tells."""

from __future__ import annotations

from typing import Any


def epochs_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A step's result as one for each of its epochs."""
    return [{**result, **epoch} for epoch in result.get("epochs", ())]
