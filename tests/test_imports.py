"""The rooms of the house and their order, held by the imports of every module.

Imports inside functions count as those on top do. Imports for type checking alone never run, so
they are exempt from the order and from circles; of packages they count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tuning", "models", "search_spaces")
FACE = ("__init__", "__main__", "api", "search", "predict", "serve")
# From the face down to what knows nothing of tuning: a room imports what comes later.
FLOORS = (
    FACE,
    ("run",),
    ("scheduling",),
    ("cluster", "export"),
    ("training", "report"),
    ("features", "evaluation"),
    ("records", "options", "data"),
    ("files",),
    ("process", "wording", "errors"),
    ("models", "search_spaces"),
)
# Rooms of one floor that may import each other, and packages with the places that may use them.
NEIGHBOURS = (FACE, ("process", "wording", "errors"))
USERS = {
    "ray": ("tuning.scheduling", "tuning.cluster"),
    "jax": ("tuning.training.scan",),
    "optuna": ("tuning.scheduling", "tuning.evaluation", "search_spaces.optuna_bridge"),
}
WITHOUT_TENSORFLOW = ("models", "search_spaces", "tuning.training")
MOST_FILES = 8  # directly in tuning/
MOST_LINES = 60  # of a function

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
Sources = Mapping[str, str]  # by module


@dataclass(frozen=True)
class Import:
    """A module, and what it imports: one of ours, or a package."""

    by: str
    of: str
    for_types: bool

    def __str__(self) -> str:
        return f"{self.by} imports {self.of}"


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text(encoding="utf-8")
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*.py"))
    }


def imports(sources: Sources) -> list[Import]:
    """All imports of the modules, from our packages and others."""
    found = []
    for module, text in sources.items():
        for names, for_types in _imported(ast.parse(text), module):
            found += [Import(module, _module(name, sources), for_types) for name in names]
    return [each for each in found if each.by != each.of]


def _imported(
    tree: ast.AST, module: str, for_types: bool = False
) -> Iterator[tuple[list[str], bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield [alias.name for alias in node.names], for_types
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            yield [f"{node.module}.{alias.name}" for alias in node.names], for_types
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for each in node.body:
                yield from _imported(ast.Module([each], []), module, True)
            for each in node.orelse:
                yield from _imported(ast.Module([each], []), module, for_types)
        else:
            yield from _imported(node, module, for_types)


def _module(name: str, sources: Sources) -> str:
    """The module of ours that a dotted name lies in, or the package of another's."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return parts[0]
    for end in range(len(parts), 0, -1):
        for found in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if found in sources:
                return found
    raise AssertionError(f"there is no module {name}")


def room(module: str) -> str:
    """The room that a module of ours stands in."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tuning" else parts[0]


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in places)


def out_of_order(sources: Sources) -> list[str]:
    """Imports of a room that does not come later."""
    return [
        str(each)
        for each in imports(sources)
        if each.of in sources
        and not each.for_types
        and room(each.by) != room(each.of)
        and FLOOR[room(each.by)] >= FLOOR[room(each.of)]
        and not any(room(each.by) in these and room(each.of) in these for these in NEIGHBOURS)
    ]


def out_of_place(sources: Sources) -> list[str]:
    """Imports of packages that stand in few rooms alone."""
    return [
        str(each)
        for each in imports(sources)
        if (each.of in USERS and not within(each.by, USERS[each.of]))
        or (each.of == "tensorflow" and within(each.by, WITHOUT_TENSORFLOW))
    ]


def circle(sources: Sources) -> list[str]:
    """Modules that import each other in a ring; empty where there is none."""
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for each in imports(sources):
        if each.of in sources and not each.for_types:
            graph[each.by].add(each.of)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_stands_in_a_room(sources):
    assert {room(module) for module in sources} == set(FLOOR)


def test_rooms_import_only_what_comes_later(sources):
    assert out_of_order(sources) == []


def test_ray_optuna_and_tensorflow_keep_to_their_rooms(sources):
    assert out_of_place(sources) == []


def test_no_modules_import_each_other_in_a_ring(sources):
    assert circle(sources) == []


def test_few_files_lie_beside_the_rooms():
    assert len(list((ROOT / "tuning").glob("*.py"))) <= MOST_FILES


def long_functions(sources: Sources) -> list[str]:
    """Functions with too many lines."""
    return [
        f"{module}.{node.name}"
        for module, text in sources.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MOST_LINES
    ]


def test_no_function_is_long(sources):
    assert long_functions(sources) == []
    assert long_functions({"a": "def f():\n" + "    x = 1\n" * MOST_LINES}) == ["a.f"]


def test_the_main_way_is_read_at_once():
    assert len((ROOT / "tuning" / "search.py").read_text().splitlines()) < 80


@pytest.mark.parametrize("line", ["import ray", "from ray import tune", "import tensorflow as tf"])
def test_an_import_that_hides_in_a_function_is_found(sources, line):
    name = "tuning.training.trial"
    planted = f"{sources[name]}\n\ndef late():\n    {line}\n"
    package = line.split()[1]
    assert out_of_place({**sources, name: planted}) == [f"{name} imports {package}"]


def test_a_room_that_looks_back_is_found(sources):
    name, line = "tuning.files.atomic", "from tuning.records.event_log import EventLog"
    planted = {**sources, name: f"{sources[name]}\n\ndef late():\n    {line}\n"}
    assert out_of_order(planted) == [f"{name} imports tuning.records.event_log"]
    models = {**sources, "search_spaces.domain": "from models import vgg16"}
    assert out_of_order(models) == ["search_spaces.domain imports models.vgg16"]
    ring = {"models.a": "import models.b", "models.b": "def late():\n    from models import a"}
    assert sorted(set(circle(ring))) == ["models.a", "models.b"]
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from models import a"
    assert circle({**ring, "models.b": for_types}) == []


@pytest.mark.parametrize("room", ["export", "features", "report", "serve"])
def test_what_is_run_by_its_room_can_be(sources, room):
    assert f"tuning.{room}.__main__" in sources
