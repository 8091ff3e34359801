"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tuning import wording
from tuning.records.facts import Facts, Score
from tuning.report import backbones, better, cost, levers, mistakes, objectives, story, trust
from tuning.report.advice import advice


def markdown(facts: Facts) -> str:
    """Writes the whole report as GitHub-flavoured Markdown."""
    judged = story.judged(facts)
    chapters = [
        [f"# {escape(facts['run']['name'])}", escape(" · ".join(story.summary(facts)))],
        [f"> **Note.** {escape(note)}" for note in story.banners(facts)],
        _advice(facts),
        ["## The answer", *_answer(facts)],
        ["## Against the article", *_experiments(facts)] if facts["experiments"] else [],
        ["## Which frozen network", *_backbones(facts)] if backbones.known(facts) else [],
        ["## Why believe it", *_trust(facts)],
        ["## Which lever did what", *_levers(judged)],
        ["## What it gets wrong", *_wrong(facts)],
        ["## What would make it better", *_better(facts)] if better.known(facts) else [],
        ["## What it cost", *_cost(facts)],
        ["## How to repeat it", code_block(facts["run"]["command"]), pairs(story.repeat(facts))],
        ["## All trials", *_trials(judged)],
        ["## The data", *_data(facts)],
    ]
    blocks = [block for chapter in chapters for block in chapter if block]
    return "\n\n".join(blocks) + "\n"


def _advice(facts: Facts) -> list[str]:
    found = advice(facts)
    return ["\n".join(f"- {escape(line)}" for line in found)] if found else []


def _answer(facts: Facts) -> list[str]:
    best = facts["best"]
    if best is None:
        return [story.NO_BEST]
    metric = facts.get("metric", "accuracy")
    figures = [_score("Validation", best["validation"], metric)]
    if best["test"] is not None:
        figures.insert(0, _score("Test", best["test"], metric))
    names = list(dict.fromkeys(name for _, measured in figures for name in measured))
    rows = [
        [*row, *(measured.get(name, wording.MISSING) for name in names)]
        for row, measured in figures
    ]
    blocks = [
        f"**{escape(story.headline(best))}** (trial {best['trial']}, epoch {best['epoch']})",
        escape(story.answer(facts)),
        escape(story.together(best) or ""),
        table(["Split", "Accuracy", "95 % interval", "Pictures", *names], rows),
    ]
    if best["test"] is None and not facts["run"]["running"]:
        blocks.append(escape(story.NO_TEST))
    values = [(wording.label(key), wording.value(v)) for key, v in best["hyperparameters"].items()]
    blocks.append(pairs(values))
    if best["model"]:
        blocks.append(f"The trained model: {code(best['model'])}")
    front = objectives.table(facts)
    return (
        blocks if front is None else [*blocks, "Beaten by none in all objectives:", table(*front)]
    )


def _score(split: str, score: Score, metric: str) -> tuple[list[str], dict[str, str]]:
    row = [split, wording.percent(score["accuracy"]), wording.interval(score["interval"])]
    return [*row, f"{score['pictures']:,}"], dict(story.measures(score, metric))


def _experiments(facts: Facts) -> list[str]:
    header = ["Experiment", "Article", "Here", "95 % interval", "Last epoch", "Verdict", "Time"]
    rows = [
        [
            experiment["title"],
            experiment["article"],
            wording.percent(experiment["best_accuracy"]),
            wording.interval(experiment["interval"]),
            wording.percent(experiment["last_accuracy"]),
            story.verdict(experiment),
            wording.duration(experiment["seconds"]),
        ]
        for experiment in facts["experiments"]
    ]
    best = facts["best"]
    if best is not None:
        score = best["validation"]
        found = [wording.percent(score["accuracy"]), wording.interval(score["interval"])]
        rows.append(["Best of the search", wording.MISSING, *found, *[wording.MISSING] * 3])
    about = escape(f"{story.ARTICLE} {story.VERDICT}")
    return [about, table(header, rows), escape(story.gain(facts))]


def _backbones(facts: Facts) -> list[str]:
    return [escape(backbones.sentence(facts)), table(backbones.HEADER, backbones.rows(facts))]


def _trust(facts: Facts) -> list[str]:
    blocks = [escape(paragraph) for paragraph in trust.reasons(facts)]
    blocks.append("\n".join(f"- {escape(warning)}" for warning in facts["data"]["warnings"]))
    found = facts["confirmation"]
    if found is not None:
        header = ["Trial", "Mean", "Standard deviation", "Each seed"]
        rows = [
            [
                str(each["trial"]),
                wording.percent(each["mean"]),
                wording.points(each["sd"]),
                ", ".join(map(wording.percent, each["accuracies"])),
            ]
            for each in sorted(found["candidates"], key=lambda each: -each["mean"])
        ]
        blocks.append(table(header, rows))
    return blocks


def _levers(facts: Facts) -> list[str]:
    blocks = [escape(" ".join(levers.caution(facts)))]
    if not levers.enough(facts):
        return blocks
    methods = facts["importances"]["methods"] if facts["importances"] else {}
    titles = [levers.METHODS.get(name, name) for name in methods]
    rows = [
        [
            lever.label,
            *(wording.percent(shares.get(lever.name)) for shares in methods.values()),
            lever.summary,
        ]
        for lever in levers.levers(facts)
    ]
    return [*blocks, table(["Lever", *titles, f"{_measured(facts)} by its value"], rows)]


def _wrong(facts: Facts) -> list[str]:
    blocks = [escape(mistakes.sentence(facts))]
    matrix = mistakes.matrix(facts)
    if matrix:
        rows = [
            [name, *(f"{number:,}" for number in numbers), wording.percent(recall)]
            for name, numbers, recall in matrix
        ]
        blocks.append(table(["Truth ↓ taken for →", *facts["data"]["classes"], "Recognised"], rows))
    elif mistakes.pairs(facts):
        most = mistakes.pairs(facts)[: mistakes.MOST_PAIRS]
        listed = [[truth, taken, f"{number:,}"] for truth, taken, number in most]
        blocks.append(table(["Truth", "Taken for", "Pictures"], listed))
    shown = facts["best"]["mistakes"] if facts["best"] else None
    if shown and mistakes.gallery(facts):
        listed = [
            [each["file"], each["truth"], each["predicted"], mistakes.sure(each["probability"])]
            for each in shown["most_confident"]
        ]
        header = ["File", "Truth", "Taken for", "Sure"]
        blocks += [escape(mistakes.gallery(facts)), table(header, listed)]
    return blocks


def _better(facts: Facts) -> list[str]:
    blocks = [escape(paragraph) for paragraph in better.paragraphs(facts)]
    curve, doubts = facts.get("learning_curve"), facts.get("doubts")
    if curve is not None:
        header = ["Training pictures", f"{_measured(facts)} of a head on frozen features"]
        rows = [
            [f"{pictures:,}", ", ".join(map(wording.percent, scores))]
            for pictures, scores in zip(curve["pictures"], curve["scores"], strict=True)
        ]
        blocks.append(table(header, rows))
    if doubts is not None and doubts["most"]:
        rows = [
            [each["file"], each["label"], each["suggested"], mistakes.sure(each["probability"])]
            for each in doubts["most"]
        ]
        blocks.append(table(["File", "Label", "Rather", "Sure"], rows))
    return blocks


def _trials(facts: Facts) -> list[str]:
    trials, best = facts["trials"], facts["best"]
    if not trials:
        return ["No trial was started."]
    shared = story.constants(trials)
    names = [name for name in story.hyperparameter_names(trials) if name not in shared]
    header = ["Trial", _measured(facts), "Best epoch", "Epochs", "Time", "Status", "Reason"]
    rows = []
    for trial in story.ranked(trials):
        is_best = best is not None and trial["number"] == best["trial"]
        rows.append(
            [
                f"{trial['number']}{' ★' if is_best else ''}",
                wording.percent(trial["best_accuracy"]),
                wording.value(trial["best_epoch"]),
                str(trial["epochs"]),
                wording.duration(trial["seconds"]),
                story.STATUSES[trial["status"]],
                trial["reason"] or "",
                *(wording.value(trial["hyperparameters"].get(name)) for name in names),
            ]
        )
    blocks = [
        escape(f"{story.outcomes(facts)}{'; the best is marked ★' if best else ''}.".capitalize())
    ]
    if shared:
        same = ", ".join(f"{wording.label(key)} {wording.value(v)}" for key, v in shared.items())
        blocks.append(escape(f"The same in all: {same}."))
    return [*blocks, table([*header, *(wording.label(name) for name in names)], rows)]


def _measured(facts: Facts) -> str:
    """What trials are compared by, as a heading."""
    name = story.metric(facts)
    return name[:1].upper() + name[1:]


def _cost(facts: Facts) -> list[str]:
    failures = "\n".join(f"- {escape(failure)}" for failure in facts["failures"])
    return [
        pairs(cost.search(facts)),
        pairs(cost.time_spent(facts)) if cost.time_spent(facts) else "",
        escape(cost.cache_sentence(facts)),
        pairs(cost.cache(facts)),
        f"What failed:\n\n{failures}" if failures else "",
    ]


def _data(facts: Facts) -> list[str]:
    header, rows = story.data(facts)
    return [table(header, rows), story.pixels(facts)]


def escape(text: str) -> str:
    """Makes text stay text: on one line, with nothing that Markdown or HTML would read."""
    text = wording.visible(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def code(text: str) -> str:
    """A code span that may hold backquotes (CommonMark, section 6.1)."""
    text = wording.visible(" ".join(text.split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def code_block(text: str) -> str:
    """A code block; indented, so that nothing in the text can end it."""
    return "\n".join(f"    {wording.visible(line)}" for line in text.splitlines())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is escaped."""
    lines = [
        [escape(cell) for cell in header],
        ["---"] * len(header),
        *([escape(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """A table of two columns without a header of its own."""
    return table(["", ""], items)
