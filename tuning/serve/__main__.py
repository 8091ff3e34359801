"""Serves a run's best model on this machine: `python -m tuning.serve RUN`."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import socket
import sys
from pathlib import Path

from tuning.errors import UserError
from tuning.export import classifier
from tuning.process.commands import Parser, exit_code
from tuning.process.native_output import import_keras

HOST = "127.0.0.1"  # and no other: there is no password
PORT = 8000
PACKAGES = {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}

HELP = """\
A page on 127.0.0.1 to drop a picture on, and an endpoint for programs. Nothing leaves this machine.

POST /predict, with the picture as the body, or as the first file of a multipart form:

  curl --data-binary @cat.jpg http://127.0.0.1:8000/predict
  curl --form picture=@cat.jpg http://127.0.0.1:8000/predict

answers {"class": …, "probability": …, "probabilities": {class: …}}, the likeliest class first;
else {"error": …} with 400 (no picture), 408 (it took over 30 s to arrive), 413 (over 20 MiB), 422
(no picture that can be read, or more pixels than Pillow's limit against decompression bombs).
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 when it was stopped; 2 for a mistake of the user's, told in one line.
    """
    parser = Parser(
        prog="python -m tuning.serve",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder, as in runs/NAME")
    parser.add_argument(
        "--port",
        type=_port,
        default=PORT,
        metavar="N",
        help="0 for any that is free (default %(default)s)",
    )
    return exit_code(lambda: _run(parser.parse_args(arguments)))


def _port(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    _check_packages()
    classifier.check(options.run)
    listener = _listen(options.port)
    import_keras(Path(os.devnull))
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        _serve(classifier.load(options.run), options.run.resolve().name, listener)
    return 0


def _check_packages() -> None:
    missing = [
        name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise UserError(
            f"The page needs packages that are not installed: pip install {' '.join(missing)}."
        )


def _listen(port: int) -> socket.socket:
    """Takes the port at once, so that a model is not loaded in vain.

    Raises:
        UserError: If somebody else has it.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        raise UserError(
            f"Port {port} of {HOST} cannot be had ({error.strerror}); choose another --port."
        ) from None
    return listener


def _serve(model: classifier.Classifier, name: str, listener: socket.socket) -> None:
    import numpy as np

    from tuning.serve.app import application
    from tuning.serve.server import server

    # The first picture is answered as fast as the next ones.
    model.probabilities([np.zeros((model.image_size, model.image_size, 3), np.uint8)])
    port = listener.getsockname()[1]
    print(f"{name} on http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    server(application(model, name)).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
