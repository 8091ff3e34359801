"""Progress a person can follow: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuning.records.callbacks import RunCallback
from tuning.records.event_log import SCORE, EventLog
from tuning.records.trial_log import TrialRecord, rank
from tuning.wording import count, duration, in_words, visible
from tuning.wording import metric as in_words_of

QUIET = 10.0  # seconds between two plain lines about epochs
SHOWN = 12  # rows of the live table: what runs, and the best of what is over


class Progress(RunCallback):
    """Shows a run.

    Args:
        trials: The number of trials that are to be run, None where nobody knows it.
        cache: The feature cache's event log, whose builds are shown while they last.
        seconds: The run's time budget, None for none.
        console: The console to show it on.
        metric: What the search goes by.
    """

    def __init__(
        self,
        trials: int | None,
        cache: EventLog,
        seconds: float | None,
        console: Console,
        metric: str = "accuracy",
    ) -> None:
        self.metric = in_words_of(metric)
        self.trials = trials
        self.cache = cache
        self.budget = seconds
        self.console = console
        self.began = time.monotonic()
        self.last_line = self.began
        self._before = 0.0  # the share that sessions before have done
        self.records: dict[int, TrialRecord] = {}
        self.building = ""  # ahead of the first trial
        self._pictures = 0
        self._ahead: list[tuple[float, int]] = []  # times, and pictures done by then
        self._under_way: dict[str, str] = {}  # entries of the cache that are being computed
        self._read = 0  # bytes of its log
        self.live = Live(
            get_renderable=self._table, console=console, refresh_per_second=2, transient=True
        )

    def open(self) -> None:
        """Begins to show the live table, on a terminal."""
        self._before = self._share()
        if self.console.is_terminal:
            self.live.start()

    def close(self) -> None:
        """The table goes."""
        self.live.stop()

    def start(self, record: TrialRecord) -> None:
        """A trial begins."""
        self.records[record.number] = record
        words = in_words(record.hyperparameters)
        self._line(f"trial {record.number} starts{f': {words}' if words else ''}")

    def end(self, record: TrialRecord) -> None:
        """A trial is over."""
        self.records[record.number] = record
        self._line(f"trial {record.number} {_ending(record, self.metric)}{self._so_far()}")

    def epoch(self, record: TrialRecord) -> None:
        """A trial has finished an epoch."""
        self.records[record.number] = record
        quiet = time.monotonic() - self.last_line < QUIET
        if self.console.is_terminal or quiet or not record.epochs:
            return
        now = record.curve[SCORE][-1]
        of = f"{record.epochs}/{record.hyperparameters['epochs']}"
        self._line(f"trial {record.number} epoch {of}: {self.metric} {now:.3f}{self._so_far()}")

    def ahead(self, done: int, pictures: int) -> None:
        """Takes in how many pictures' features were built before the first trial, of how many."""
        self._ahead.append((time.monotonic(), done))
        self._pictures = pictures
        self.building = f"features: {done:,} of {pictures:,} pictures"
        # From the first report on: before it, the builders were starting.
        (first, before), (last, _) = self._ahead[0], self._ahead[-1]
        if last > first and done > before:
            rate = (done - before) / (last - first)
            self.building += f", {rate:.0f} a second"
            if done < pictures:
                self.building += f", about {duration((pictures - done) / rate)} left"
        over = done >= pictures
        if not self.console.is_terminal and (over or time.monotonic() - self.last_line > QUIET):
            self._line(self.building)
        if over:
            self.building = ""
            self._ahead.clear()  # another network may be next

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        self.console.print(Text(visible(text)), highlight=False, soft_wrap=True)

    def _so_far(self) -> str:
        ranking = rank(list(self.records.values()))
        if not ranking:
            return ""
        best = ranking[0]
        return f" | best so far {best.best_score:.3f} (trial {best.number}){self._left()}"

    def _left(self) -> str:
        """Time left, from the share of epochs that is done or no longer needed.

        As if those to come cost as much each, which is said: a head's cost less than others'.
        """
        share = self._share()
        elapsed = time.monotonic() - self.began
        if share - self._before < 1:
            return ""
        left = {}
        if self.trials:
            left["at this pace"] = elapsed * (self.trials - share) / (share - self._before)
        if self.budget is not None:
            left["at most"] = self.budget - elapsed
        if not left or min(left.values()) <= 0:
            return ""
        how, seconds = min(left.items(), key=lambda each: each[1])
        return f" | {how} {duration(seconds)} left"

    def _share(self) -> float:
        """How many trials are over, the done parts of those that run among them."""
        return sum(
            record.epochs / record.hyperparameters["epochs"] if record.status == "running" else 1.0
            for record in self.records.values()
        )

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, justify in (
            ("trial", "right"),
            ("levers", "left"),
            ("epoch", "right"),
            (self.metric, "right"),
            ("best", "right"),
            ("", "left"),
        ):
            table.add_column(title, justify=justify, no_wrap=title != "levers")  # type: ignore[arg-type]
        order = sorted(
            self.records.values(),
            key=lambda r: (r.status != "running", -(r.best_score or 0.0), r.number),
        )
        for record in order[:SHOWN]:
            last = record.curve[SCORE][-1:]
            table.add_row(
                str(record.number),
                visible(in_words(record.hyperparameters)),
                f"{record.epochs}/{record.hyperparameters['epochs']}",
                f"{last[0]:.3f}" if last else "",
                "" if record.best_score is None else f"{record.best_score:.3f}",
                record.status,
                style=None if record.status == "running" else "dim",
            )
        over = sum(record.status != "running" for record in self.records.values())
        elapsed = duration(time.monotonic() - self.began)
        trials = f"{over} of {self.trials}" if self.trials else f"{over}"
        head = Text(f"{trials} trials | {elapsed}{self._so_far()}", style="bold")
        if not self._ahead or not self.building:
            return Group(head, table, Text(self._building(), style="italic"))
        bar = ProgressBar(self._pictures, self._ahead[-1][1], width=60)
        return Group(head, bar, Text(self.building, style="italic"))

    def _building(self) -> str:
        events, self._read = self.cache.since(self._read)
        for event in events:
            if event["event"] == "building":
                pictures = f"{event['pictures']:,} {event['split']} pictures"
                view = "" if event["view"] == "none/0" else f", view {event['view']}"
                self._under_way[event["key"]] = f"computing {event['frontier']} of {pictures}{view}"
            elif event["event"] == "build":
                self._under_way.pop(event["key"], None)
        return "\n".join(self._under_way.values())


def _ending(record: TrialRecord, metric: str) -> str:
    if record.status == "failed":
        return f"failed: {record.reason}"
    text = f"{record.status} after {count(record.epochs, 'epoch')}, {duration(record.seconds)}"
    if record.best_score is not None:
        text += f": {metric} {record.best_score:.3f} in epoch {record.best_epoch}"
    return text
