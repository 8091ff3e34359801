"""The site: what its pages have people type works, and it is built without a warning.

The pages' blocks are run in the order of the navigation, in one folder, with drawn pictures laid
out as the pages say, by what `make dist` builds. A block that is not run says why, in a comment
before it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import wheel
import yaml

from tuning.data import demo
from tuning.options.command_line import parser
from tuning.records import facts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?"
    r'^```(?P<language>bash|console|python)(?: title="(?P<title>.+?)")?\n(?P<text>.*?)^```$',
    re.M | re.S,
)
OTHERS = ("ray ", "curl ", "gcloud ", "optuna-dashboard ", "tensorboard ")  # have their own options


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    place: str  # file:line
    language: str
    text: str
    title: str | None = None  # the file that it is to be saved as
    reason: str | None = None  # why it is not run

    def run(self, folder: Path) -> None:
        """Does what a reader does; fails where that fails."""
        if self.title:
            (folder / self.title).write_text(self.text)
            return
        if self.language == "python":
            (folder / "block.py").write_text(self.text)
            command = ["python", "block.py"]
        else:
            command = ["bash", "-euo", "pipefail", "-c", self.text]
        with open(folder / "said", "w+") as said:  # no pipe: what it leaves running would hold it
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(folder),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                code = process.wait(600)
            finally:
                end(process.pid)
            said.seek(0)
            assert code == 0, f"{self.place}: exit code {code}\n{self.text}\n{said.read()[-4000:]}"


def environment(folder: Path) -> dict[str, str]:
    """A user's, with this project installed and nothing kept from before."""
    site = folder / "site"
    path = f"{site / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    # Threads that spin while they wait cost more than they bring to so small networks.
    few = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    own = {"PATH": path, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(folder / "cache")}
    return {**os.environ, **few, **own}


def end(group: int) -> None:
    """Ends what a block left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def pages() -> list[str]:
    """The pages of `docs` in the order of the navigation."""

    def walk(item: Any) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        else:
            for each in item.values() if isinstance(item, dict) else item:
                yield from walk(each)

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    return [page for page in walk(navigation) if (DOCS / page).exists()]


def blocks() -> list[Block]:
    found = []
    for page in pages():
        text = (DOCS / page).read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("language")) + 1
            place = f"docs/{page}:{line}"
            found.append(
                Block(place, match["language"], match["text"], match["title"], match["reason"])
            )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a reader is: with pictures as the pages have them, and the wheel installed."""
    place = tmp_path_factory.mktemp("reader")
    wheel.install(wheel.build(tmp_path_factory.mktemp("dist"))[0], place / "site")
    generator = np.random.default_rng(0)

    def draw(name: str, kind: int) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        picture = demo.draw(kind % 2 == 1, generator)
        (picture.rotate(180) if kind == 2 else picture).save(place / name)

    for kind, (animal, flower, count) in enumerate(
        [("cat", "daisy", 30), ("dog", "rose", 20), ("", "tulip", 16)]
    ):
        for number in range(count):
            draw(f"pictures/{flower}/{number}.jpg", kind)
        for number in range(30 if animal else 0):
            draw(f"photos/train/{animal}.{number}.jpg", kind)
        draw(f"new/{kind}.jpg", kind)
    return place


@pytest.mark.slow
def test_the_reader_has_no_checkout(folder):
    Block("here", "console", "little-data-tuner --help\n").run(folder)
    where = "import models, search_spaces, tuning\nfor each in (models, search_spaces, tuning):\n"
    where += (
        '    assert "/site/" in each.__file__, each.__file__\nassert "tune" in tuning.__all__\n'
    )
    Block("here", "python", where).run(folder)


@pytest.mark.slow
def test_what_pages_have_people_type_works(folder):
    for block in blocks():
        if not block.reason:
            block.run(folder)


def test_every_page_is_looked_at():
    assert set(pages()) == {page.name for page in DOCS.glob("*.md")}
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in pages())
    fences = re.findall(r"^ *```(?:bash|console|python|sh|shell|py)\b", text, re.M)
    assert len(fences) == len(blocks())


def test_of_ten_blocks_at_most_one_is_not_run():
    not_run = [block.place for block in blocks() if block.reason]
    assert len(not_run) <= len(blocks()) / 10, not_run


def test_what_is_saved_is_used():
    every = blocks()
    for number, block in enumerate(every):
        if block.title:
            compile(block.text, block.title, "exec")
            stem = Path(block.title).stem
            assert any(stem in later.text for later in every[number + 1 :]), block.place


def test_searches_that_are_not_run_are_understood():
    searches = [
        line
        for block in blocks()
        for line in block.text.replace("\\\n", "").splitlines()
        if block.reason and line.startswith("little-data-tuner --")
    ]
    assert searches
    for line in searches:
        parser().parse_args(shlex.split(line)[1:])  # exits if it does not understand


def test_options_that_pages_name_exist():
    known: set[str] = set()
    for command in ("", "predict", "report", "serve", "features prune", "export"):
        words = [sys.executable, "-m", "tuning", *command.split(), "--help"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        known |= set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    files = [DOCS / page for page in pages()] + [ROOT / "README.md"]
    for file in files:
        text = re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.M | re.S)
        spans = re.findall(r"`([^`\n]+)`", text)
        spans = [each for each in spans if not each.startswith(OTHERS)]
        named = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
        assert named <= known, file.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [
        Block("here", "console", "false\ntrue\n"),
        Block("here", "console", "little-data-tuner --no-such-option\n"),
        Block("here", "python", "from tuning import Options\nOptions(no_such_option=1)\n"),
    ],
    ids=["command", "option", "python"],
)
def test_a_block_that_fails_is_found(folder, block):
    with pytest.raises(AssertionError, match="here: exit code"):
        block.run(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr, done.stderr
    return target


@pytest.mark.slow
def test_it_asks_nothing_of_other_servers(site):
    asked = [
        (page.name, each)
        for page in site.rglob("*.html")
        for each in re.findall(
            r'<(?:script|img|iframe|link)\b[^>]*(?:src|href)="((?:https?:)?//[^"]+)"',
            page.read_text(encoding="utf-8"),
        )
    ]
    assert asked == []


def test_every_key_of_the_report_is_there(site):
    text = (site / "report.html").read_text(encoding="utf-8")
    kinds = [each for each in vars(facts).values() if hasattr(each, "__total__")]
    assert len(kinds) > 30
    for kind in kinds:
        if not kind.__name__.startswith("_"):
            missing = [key for key in get_type_hints(kind) if f"<code>{key}</code>" not in text]
            assert missing == [], kind.__name__


def test_the_workflows_are_workflows():
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(files) >= 2
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
