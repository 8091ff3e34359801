"""What a run writes down: its folder, logs, metadata, outcome, and the facts of its report."""
