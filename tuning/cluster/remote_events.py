"""One process that writes the cache's event log for all machines of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.records.event_log import EventLog


class _Writer:
    """Runs as an actor."""

    def __init__(self, log: EventLog) -> None:
        self.log = log

    def write(self, event: dict[str, Any]) -> None:
        self.log.write(**event)


@dataclass(frozen=True)
class RemoteEventLog:
    """An `EventLog` to write to from any machine; the file lies on the one that made this.

    File servers do not append in one piece what several machines write, and stores not at all.

    Attributes:
        writer: The actor.
    """

    writer: Any

    @classmethod
    def start(cls, log: EventLog) -> RemoteEventLog:
        """Starts the actor on this machine, where the file lies."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": here}
        return cls(ray.remote(_Writer).options(**options).remote(log))

    def write(self, **event: Any) -> None:
        """Sends one event; it is written soon."""
        self.writer.write.remote(event)
