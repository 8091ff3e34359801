"""Ray Tune schedules the trials, Optuna proposes them."""
