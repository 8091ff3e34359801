"""Every option stands in the documents."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from tuning.options import Options
from tuning.options.option import flag

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_option_is_documented():
    text = (DOCS / "options.md").read_text(encoding="utf-8")
    missing = [
        flag(each.name)
        for each in fields(Options)
        if f"| `{flag(each.name)}`" not in text and f"| `{flag(each.name)} " not in text
    ]
    assert missing == []
