"""Every option stands in the documents."""

from __future__ import annotations

from pathlib import Path

from tuning.options.command_line import parser

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_option_is_documented():
    text = (DOCS / "options.md").read_text(encoding="utf-8")
    flags = {each for action in parser()._actions for each in action.option_strings}
    missing = [
        each
        for each in sorted(flags - {"-h", "--help"})
        if f"| `{each}`" not in text and f"| `{each} " not in text
    ]
    assert missing == []
