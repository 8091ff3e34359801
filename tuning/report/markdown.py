"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tuning.report import story, words
from tuning.report.facts import Facts, Score


def markdown(facts: Facts) -> str:
    """Writes the whole report as GitHub-flavoured Markdown."""
    chapters = [
        [f"# {escape(facts['run']['name'])}", escape(" · ".join(story.summary(facts)))],
        [f"> **Note.** {escape(note)}" for note in story.banners(facts)],
        ["## The answer", *_answer(facts)],
        ["## Against the article", escape(f"{story.ARTICLE} {story.VERDICT}"), _experiments(facts)],
        ["## All trials", *_trials(facts)],
        ["## What it cost", *_cost(facts)],
        ["## The data", *_data(facts)],
        ["## How to repeat it", code_block(facts["run"]["command"]), pairs(story.repeat(facts))],
    ]
    return "\n\n".join(block for chapter in chapters for block in chapter) + "\n"


def _answer(facts: Facts) -> list[str]:
    best = facts["best"]
    if best is None:
        return [story.NO_BEST]
    figures = [_score("Validation", best["validation"])]
    if best["test"] is not None:
        figures.append(_score("Test", best["test"]))
    blocks = [
        f"**{escape(story.headline(best))}** (trial {best['trial']}, epoch {best['epoch']})",
        table(["Split", "Accuracy", "95 % interval", "Loss", "Pictures"], figures),
        escape(story.optimism(facts)),
    ]
    if best["test"] is None:
        blocks.append(escape(story.NO_TEST))
    values = [(words.label(key), words.value(v)) for key, v in best["hyperparameters"].items()]
    blocks.append(pairs(values))
    if best["model"]:
        blocks.append(f"The trained model: {code(best['model'])}")
    return blocks


def _score(split: str, score: Score) -> list[str]:
    return [
        split,
        words.percent(score["accuracy"]),
        words.interval(score["interval"]),
        words.value(score["loss"]),
        f"{score['pictures']:,}",
    ]


def _experiments(facts: Facts) -> str:
    header = ["Experiment", "Article", "Here", "95 % interval", "Last epoch", "Verdict", "Time"]
    rows = [
        [
            experiment["title"],
            experiment["article"],
            words.percent(experiment["best_accuracy"]),
            words.interval(experiment["interval"]),
            words.percent(experiment["last_accuracy"]),
            story.verdict(experiment),
            words.duration(experiment["seconds"]),
        ]
        for experiment in facts["experiments"]
    ]
    best = facts["best"]
    if best is not None:
        score = best["validation"]
        found = [words.percent(score["accuracy"]), words.interval(score["interval"])]
        rows.append(["Best of the search", words.MISSING, *found, *[words.MISSING] * 3])
    return table(header, rows)


def _trials(facts: Facts) -> list[str]:
    trials, best = facts["trials"], facts["best"]
    if not trials:
        return ["No trial was started."]
    shared = story.constants(trials)
    names = [name for name in story.hyperparameter_names(trials) if name not in shared]
    header = ["Trial", "Accuracy", "Best epoch", "Epochs", "Time", "Status", "Reason"]
    rows = []
    for trial in story.ranked(trials):
        is_best = best is not None and trial["number"] == best["trial"]
        rows.append(
            [
                f"{trial['number']}{' ★' if is_best else ''}",
                words.percent(trial["best_accuracy"]),
                words.value(trial["best_epoch"]),
                str(trial["epochs"]),
                words.duration(trial["seconds"]),
                story.STATUSES[trial["status"]],
                trial["reason"] or "",
                *(words.value(trial["hyperparameters"].get(name)) for name in names),
            ]
        )
    blocks = [
        escape(f"{story.outcomes(facts)}{'; the best is marked ★' if best else ''}.".capitalize())
    ]
    if shared:
        same = ", ".join(f"{words.label(key)} {words.value(v)}" for key, v in shared.items())
        blocks.append(escape(f"The same in all: {same}."))
    return [*blocks, table([*header, *(words.label(name) for name in names)], rows)]


def _cost(facts: Facts) -> list[str]:
    tables = [pairs(story.costs(facts)), pairs(story.cache(facts))]
    return [tables[0], escape(story.cache_sentence(facts)), tables[1]]


def _data(facts: Facts) -> list[str]:
    data = facts["data"]
    blocks = [table(*story.data(facts))]
    blocks.append(f"Pictures are {data['image_size']} × {data['image_size']} pixels.")
    blocks.append(f"Fingerprint: {code(data['fingerprint'])}")
    if data["warnings"]:
        blocks.append("\n".join(f"- {escape(warning)}" for warning in data["warnings"]))
    return blocks


def escape(text: str) -> str:
    """Makes text stay text: on one line, with nothing that Markdown or HTML would read."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def code(text: str) -> str:
    """A code span that may hold backquotes (CommonMark, section 6.1)."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def code_block(text: str) -> str:
    """A code block; indented, so that nothing in the text can end it."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is escaped."""
    lines = [header, ["---"] * len(header), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """A table of two columns without a header of its own."""
    return table(["", ""], items)
