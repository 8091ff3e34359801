"""The best-trial report: facts (JSON) → Markdown, a web page with plots, a table of trials."""

from tuning.records.facts import SCHEMA_VERSION, Facts, check
from tuning.report.render import write
from tuning.wording import in_words

__all__ = ["SCHEMA_VERSION", "Facts", "check", "in_words", "write"]
