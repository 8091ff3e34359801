"""What the command line lets one choose from; no imports, since `--help` must be quick."""

SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "grid")
LOGGERS = ("mlflow", "wandb")
ASPECTS = ("crop", "pad")
FORMATS = ("savedmodel", "onnx", "tflite", "tflite-int8")
SCHEDULERS = ("asha", "hyperband", "median", "none")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss")  # and recall:CLASS
# Of a trial's best epoch: accuracy and loss of validation; of the trial: seconds an epoch, weights
# that it trains.
OBJECTIVES = {"accuracy": "max", "loss": "min", "epoch_seconds": "min", "parameters": "min"}
