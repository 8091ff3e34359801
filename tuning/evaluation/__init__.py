"""What may be claimed of a result: scores, intervals, repeats, Pareto front, importances."""
