"""Serves a run's best model on this machine: `python -m tuning.serve RUN`."""

from __future__ import annotations

from tuning.process.interrupt import SIGNALS, leave_at_once

if __name__ == "__main__":
    leave_at_once()  # from the first moment: imports take seconds

import argparse
import contextlib
import importlib.util
import os
import signal
import socket
import sys
from pathlib import Path

from tuning.errors import UserError
from tuning.export import classifier
from tuning.files.given import read_text
from tuning.options import kinds
from tuning.options.command_line import argument_type
from tuning.process.backend import import_keras
from tuning.process.commands import Parser, exit_code

HOST = "127.0.0.1"  # and no other without a token
SHORTEST = 16  # characters of a token
PORT = 8000
PACKAGES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}

HELP = """\
A page to drop a picture on, and an endpoint for programs, on 127.0.0.1. Nothing leaves this
machine. For others, --host and --token: put it behind a proxy that speaks TLS.

POST /predict, with the picture as the body, or as the first file of a multipart form:

  curl --data-binary @cat.jpg http://127.0.0.1:8000/predict
  curl --form picture=@cat.jpg http://127.0.0.1:8000/predict

answers {"class": …, "probability": …, "probabilities": {class: …}}, the likeliest class first;
GET /health answers {"status": "ok", …}, GET /metrics figures for Prometheus.

Else /predict answers {"error": …} with 400 (no picture), 401 (no token), 408 (it took over 30 s to
arrive), 413 (over 20 MiB), 422 (no picture that can be read, or more pixels than Pillow's limit
against decompression bombs), 503 (too many at once).
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
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help="where it listens, with --token alone: 0.0.0.0 for all of this machine's networks "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--token",
        type=argument_type(kinds.PATH),
        metavar="FILE",
        help=f"a file with a word of {SHORTEST} characters or more that every request must bring, "
        "as Authorization: Bearer, or as the password that a browser asks for",
    )
    return exit_code(lambda: _run(parser.parse_args(arguments)))


def _port(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    _check_packages()
    classifier.check(options.run)
    token = options.token and _token(options.token)
    if options.host != HOST and token is None:
        raise UserError(
            f"--host {options.host} lets other machines in: give --token FILE, a file with a word "
            "that they must bring."
        )
    listener = _listen(options.host, options.port)
    import_keras(Path(os.devnull))
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        _serve(classifier.load(options.run), options.run.resolve().name, listener, token)
    return 0


def _token(file: Path) -> str:
    token = read_text(file, "--token").strip()
    if len(token) < SHORTEST or not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(
            f"--token {file} must hold one word of {SHORTEST} characters or more: "
            "python -c 'import secrets; print(secrets.token_hex())' makes one."
        )
    return token


def _check_packages() -> None:
    missing = [
        name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise UserError(
            f"The page needs packages that are not installed: pip install {' '.join(missing)}."
        )


def _listen(host: str, port: int) -> socket.socket:
    """Takes the port at once, so that a model is not loaded in vain.

    Raises:
        UserError: If somebody else has it, or the host is none of this machine's.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(kind, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise UserError(
            f"Port {port} of {host} cannot be had ({error.strerror}); choose another --port, or "
            "another --host."
        ) from None
    return listener


def _serve(
    model: classifier.Classifier, name: str, listener: socket.socket, token: str | None
) -> None:
    import numpy as np

    from tuning.serve.app import application
    from tuning.serve.server import server

    # The first picture is answered as fast as the next ones.
    model.probabilities([np.zeros((model.image_size, model.image_size, 3), np.uint8)])
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    for number in SIGNALS:  # the server ends gently at them, and hands them on
        signal.signal(number, signal.default_int_handler)
    print(f"{name} on http://{host}:{port} (Ctrl-C ends it)", flush=True)
    server(application(model, name, token=token)).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
