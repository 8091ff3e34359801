"""Every option stands in the documents, as it is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tuning.options import Options
from tuning.options.command_line import parser
from tuning.options.option import about, flag

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def text() -> str:
    return (DOCS / "options.md").read_text(encoding="utf-8")


def test_every_option_is_documented(text):
    flags = {each for action in parser()._actions for each in action.option_strings}
    missing = [
        each
        for each in sorted(flags - {"-h", "--help"})
        if f"| `{each}`" not in text and f"| `{each} " not in text
    ]
    assert missing == []


@pytest.mark.parametrize("field", fields(Options), ids=lambda field: field.name)
def test_what_is_said_of_an_option_is_what_its_help_says(text, field):
    option = about(field)
    row = re.search(rf"^\| `{flag(field.name)}[ `].*", text, re.M)
    assert row
    meaning, resumable = (each.strip() for each in row[0].split("|")[2:4])
    assert meaning.startswith(option.help)
    assert (resumable == "R") == option.resumable
    if option.excludes:
        line = re.search(rf"^\| `{flag(field.name)}` \| (`--.*) \|$", text, re.M)
        assert line
        assert set(re.findall("`(.*?)`", line[1])) == {flag(each) for each in option.excludes}
