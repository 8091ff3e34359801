"""A run from outside: prepare it, begin it, show its progress, finish it."""
