"""What Keras computes with, TensorFlow or JAX, and on what."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tuning.errors import UserError, one_line
from tuning.process.native_output import redirect

BACKENDS = ("tensorflow", "jax")
CARDS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # there where a driver is; dxg is Windows' own
# What Keras and TensorFlow import to offer something for it that no process of ours uses; with them
# come pandas, pyarrow and more, where they are installed: half of the time of importing Keras.
SPARED = ("sklearn", "jax")
_platforms = os.environ.get("JAX_PLATFORMS", "")  # before `leave_cards_to_trials`
_ours = False  # whether nothing but this project runs in this process


def has_card() -> bool:
    """Whether this machine has a GPU that this process may use; does not touch it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(each.exists() for each in CARDS)


def has_gpu() -> bool:
    """Whether this process computes on something else than a CPU; takes Keras."""
    import keras

    return any(not name.startswith("cpu") for name in keras.distribution.list_devices())


def choose(on_card: Callable[[], bool] = has_card) -> None:
    """Decides by `KERAS_BACKEND`, for this process and those that it starts, where nobody has.

    Where Keras is imported already, it stays as it is. JAX where trials run on GPUs, on which it
    trains an epoch in one call, or where TensorFlow is not installed. Else TensorFlow: on CPUs JAX
    takes longer to compile a network than a trial takes.

    Args:
        on_card: What tells whether GPUs compute; called where it matters alone.
    """
    if "keras" in sys.modules:
        os.environ["KERAS_BACKEND"] = sys.modules["keras"].backend.backend()
    elif "KERAS_BACKEND" not in os.environ:
        if importlib.util.find_spec("tensorflow") is None:
            os.environ["KERAS_BACKEND"] = "jax"
        else:
            jax = _jax_knows_cards() and on_card()
            os.environ["KERAS_BACKEND"] = "jax" if jax else "tensorflow"


def prefer_quicker_kernels() -> None:
    """Lets TensorFlow, which is not imported yet, compute with oneDNN unless somebody has decided.

    It does so by itself on CPUs with VNNI alone; on others, too, a backbone's pass takes 0.8 of the
    time, and training its last layers 0.93 to 1.09 (benchmarks/RESULTS.md, "Building features").
    """
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def spared(backend: str) -> list[str]:
    """The packages that a process of ours need not look for when it imports Keras with a backend.

    Args:
        backend: The backend's name.
    """
    return [each for each in SPARED if each != backend]


@contextmanager
def _quickly(unseen: Sequence[str]) -> Iterator[None]:
    """Imports in this context take half the time.

    Args:
        unseen: The packages that are not looked for.
    """
    hidden = [each for each in unseen if each not in sys.modules]
    collects = gc.isenabled()
    gc.disable()  # what modules are made of stays; looking through it again and again is in vain
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for each in hidden:
            del sys.modules[each]
        if collects:
            gc.enable()


def _jax_knows_cards() -> bool:
    """Whether JAX is here with what it needs for GPUs, which are packages of their own."""
    return bool(importlib.metadata.entry_points(group="jax_plugins"))


def leave_cards_to_trials() -> None:
    """Lets this process, which is the search's own, compute on CPU, beside the trials.

    What it would take of a GPU's memory is the trials'. JAX's own word for it is `JAX_PLATFORMS`;
    with TensorFlow `import_keras` sees to it.
    """
    global _ours
    _ours = True
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


def of_workers() -> dict[str, str]:
    """The environment of processes that run trials: the same backend, on the GPUs that they get."""
    return {
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "JAX_PLATFORMS": _platforms,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Both frameworks would take all of a GPU, also a trial's with half a one.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def follow(backend: str) -> None:
    """Imports Keras in a worker's process, to compute with what the search computes with.

    Args:
        backend: The search's.

    Raises:
        UserError: If Keras is imported here already with another one.
    """
    global _ours
    if "keras" not in sys.modules:
        _ours = True
        os.environ["KERAS_BACKEND"] = backend
        import_keras()
    elif (here := sys.modules["keras"].backend.backend()) != backend:
        raise UserError(
            f"Keras computes with {here} in a worker's process, and with {backend} in the search's:"
            f" set KERAS_BACKEND={here} for the search, or leave it to the search to start Ray."
        )


def import_keras(log: Path | None = None, *, tuner: bool = False) -> None:
    """Imports Keras.

    Args:
        log: The file that native lines are appended to until the process, which is a command's own,
            ends; None: they stay.
        tuner: Whether KerasTuner comes along; it offers something for scikit-learn, too.

    Raises:
        UserError: If its backend is none that this project trains with, or is not installed.
    """
    ours = _ours or log is not None
    if log is not None:
        redirect(log)
    choose()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # This process may share a GPU with trials, of which both frameworks would take all memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    prefer_quicker_kernels()
    try:
        with _quickly(spared(os.environ["KERAS_BACKEND"]) if ours else ()):
            import keras

            if tuner:
                import keras_tuner  # noqa: F401
        if ours:
            gc.freeze()  # nor does a trial's end go through them: a quarter of a second each time
    except (ImportError, ValueError) as error:  # of a backend that there is not, or is not here
        chosen = os.environ["KERAS_BACKEND"]
        raise UserError(
            f"Keras cannot be imported ({one_line(error)}); KERAS_BACKEND is {chosen!r}, and may "
            f"be {' or '.join(BACKENDS)}."
        ) from None
    if (backend := keras.backend.backend()) not in BACKENDS:
        raise UserError(
            f"Keras' backend is {backend}, but this project trains with {' or '.join(BACKENDS)}: "
            "set KERAS_BACKEND."
        )
    if backend == "tensorflow":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        if os.environ.get("JAX_PLATFORMS") == "cpu":
            import tensorflow as tf

            tf.config.set_visible_devices([], "GPU")
