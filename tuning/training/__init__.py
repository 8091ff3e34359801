"""One trial, without Ray: hyperparameters and cached features in, metrics and weights out."""
