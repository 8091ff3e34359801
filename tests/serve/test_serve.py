"""The server on this machine, asked by real HTTP."""

import base64
import http.client
import io
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

import pytest
from exported import run_folder
from PIL import Image
from serving import CLASSES, ask, serving

from tuning.data.decoding import decode
from tuning.export import classifier
from tuning.serve import __main__ as command


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("serve"), photos, CLASSES)


@pytest.fixture(scope="module")
def model(run):
    return classifier.load(run)


@pytest.fixture(scope="module")
def port(model):
    with serving(model) as port:
        yield port


def multipart(*parts):
    lines = []
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        lines += [b"--line", f'Content-Disposition: form-data; name="{name}"{file}'.encode()]
        lines += [b"", content]
    return b"\r\n".join([*lines, b"--line--", b""]), "multipart/form-data; boundary=line"


@pytest.fixture(scope="module")
def photo(photos):
    return next((photos / "validation" / "dogs").iterdir())


def test_a_picture_is_answered_as_the_model_says(port, model, photo):
    status, told = ask(port, photo.read_bytes())
    assert status == 200
    row = model.probabilities([decode(photo, model.image_size)])[0]
    assert told["probabilities"] == pytest.approx(dict(zip(CLASSES, row, strict=True)), abs=1e-5)
    assert told["class"] == CLASSES[row.argmax()]
    assert told["probability"] == max(told["probabilities"].values())
    body, kind = multipart(("note", None, b"hello"), ("picture", "a.jpg", photo.read_bytes()))
    assert ask(port, body, content_type=kind) == (200, told)
    _, heated = ask(port, photo.read_bytes(), path="/predict?heat")
    kind, _, heat = heated.pop("heat").partition(",")
    assert heated == told
    assert kind == "data:image/jpeg;base64"
    drawn = Image.open(io.BytesIO(base64.b64decode(heat)))
    assert drawn.size == (model.image_size, model.image_size)


def png_of(width, height):
    def chunk(kind, body):
        raw = kind + body
        return struct.pack(">I", len(body)) + raw + struct.pack(">I", zlib.crc32(raw))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"", {}, 400, "no picture in the request"),
        (multipart(("a", None, b"x"))[0], {"content_type": multipart()[1]}, 400, "no picture"),
        (b"broken", {"content_type": "multipart/form-data"}, 400, "boundary"),
        (b"I am none", {}, 422, "no picture that can be read"),
        (png_of(50_000, 50_000), {}, 422, "decompression bomb"),
        (b"x", {"origin": "http://elsewhere.example"}, 403, "elsewhere"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(port, body, headers, status, told):
    found, content = ask(port, body, **headers)
    assert found == status
    assert told in content["error"]


def test_other_hosts_methods_and_paths_are_refused(port, photo):
    assert ask(port, photo.read_bytes(), host="elsewhere.example")[0] == 400
    assert ask(port, method="GET")[0] == 405
    assert ask(port, method="GET", path="/../app.py")[0] == 404
    assert ask(port, method="GET", path="/app.py")[0] == 404


def test_too_large_and_too_slow(model, photo):
    with serving(model, limit=20_000, patience=1.0) as port:
        assert ask(port, bytes(20_001))[0] == 413
        pieces = (bytes(5000) for _ in range(5))  # chunked: no length is told in advance
        assert ask(port, pieces)[0] == 413
        body, kind = multipart(("picture", "a.jpg", bytes(30_000)))
        assert ask(port, body, content_type=kind)[0] == 413
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"
            )
            answer = b"".join(iter(lambda: slow.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 1 seconds" in answer
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: loc")
            assert slow.recv(4096) == b""
        small = io.BytesIO()
        Image.open(photo).resize((64, 64)).save(small, "jpeg")
        assert ask(port, small.getvalue())[0] == 200


def test_many_at_once_get_the_same_answers(port, photos):
    files = sorted((photos / "validation" / "cats").iterdir())[:8]
    alone = [ask(port, file.read_bytes()) for file in files]
    together = [None] * len(files)

    def one(index):
        together[index] = ask(port, files[index].read_bytes())

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (status, told), (wanted_status, wanted) in zip(together, alone, strict=True):
        assert status == wanted_status == 200
        assert told["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)


def test_the_page_forbids_all_that_is_not_its_own(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    response = connection.getresponse()
    page = response.read().decode()
    connection.close()
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "&lt;b&gt;cats" in page
    assert "<b>" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number"),
    [("tuning.serve", signal.SIGINT), ("tuning", signal.SIGINT), ("tuning", signal.SIGTERM)],
)
def test_the_command_serves_and_ends_gently(run, photo, command, number):
    words = [command] if command == "tuning.serve" else [command, "serve"]
    server = subprocess.Popen(
        [sys.executable, "-m", *words, str(run), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = server.stdout.readline()
        port = int(re.fullmatch(r"run on http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", line)[1])
        assert ask(port, photo.read_bytes())[0] == 200
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection((_other_address(), port), 2),
        ):
            pass
        taken = subprocess.run(
            [sys.executable, "-m", "tuning.serve", str(run), "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert taken.returncode == 2
        assert re.fullmatch(rf"error: Port {port} of 127\.0\.0\.1 cannot be had .*\n", taken.stderr)
        server.send_signal(number)
        assert server.wait(timeout=120) == 0
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.communicate()


def _other_address():
    """Of this machine, but not the one that is served; loopback's others stand in for a network."""
    return "127.0.0.2"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "No model in nowhere"),
        (["nowhere", "--port", "70000"], "'70000' is not a port"),
    ],
)
def test_mistakes_are_one_line_each(arguments, told, capsys):
    assert command.main(arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1


def test_missing_packages_are_one_line(run, capsys, monkeypatch):
    monkeypatch.setitem(command.PACKAGES, "no_such_package", "no-such-package")
    assert command.main([str(run)]) == 2
    assert capsys.readouterr().err.endswith("pip install no-such-package.\n")


def test_half_of_the_next_request_is_not_waited_for(model):
    """Also where it comes in the same packet as the one before, or after a long time of silence."""
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    half = b"POST /predict HTTP/1.1\r\nHost: loc"
    with serving(model, patience=1.0) as port:
        for pieces in ([whole, half], [whole + half], [whole, half, b"alhost\r\nContent-"]):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
                for piece in pieces:
                    slow.sendall(piece)
                    time.sleep(0.3)
                answer = b"".join(iter(lambda: slow.recv(4096), b""))
            assert answer.count(b"HTTP/1.1 200") == 1


def test_it_says_how_it_is(port, photo):
    status, told = ask(port, method="GET", path="/health")
    assert (status, told) == (200, {"status": "ok", "run": "a run", "classes": 3})

    def figures():
        text = ask(port, method="GET", path="/metrics")[1]
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        answers = found.get('little_data_tuner_requests_total{status="200"}', 0)
        return float(answers), float(found["little_data_tuner_picture_seconds_count"])

    answers, pictures = figures()
    assert ask(port, photo.read_bytes())[0] == 200
    assert ask(port, b"I am none")[0] == 422
    assert figures() == (answers + 2, pictures + 2)  # the first look at the figures is one


def test_others_bring_the_token(model, photo):
    token = "a word of many letters".replace(" ", "-")
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    with serving(model, token=token) as port:
        for header in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic ?"}):
            status, told = ask(port, photo.read_bytes(), **header)
            assert status == 401
            assert "Bring the token" in told["error"]
            assert ask(port, method="GET", path="/metrics", **header)[0] == 401
            assert ask(port, method="GET", path="/", **header)[0] == 401
        assert ask(port, method="GET", path="/health")[0] == 200
        for header in (f"Bearer {token}", f"Basic {basic}"):
            elsewhere = {"host": "models.example", "authorization": header}
            assert ask(port, photo.read_bytes(), **elsewhere)[0] == 200
            assert ask(port, method="GET", path="/", **elsewhere)[0] == 200
            assert ask(port, b"x", origin="https://evil.example", **elsewhere)[0] == 403
            assert (
                ask(port, photo.read_bytes(), origin="https://models.example", **elsewhere)[0]
                == 200
            )


@pytest.mark.parametrize(
    ("arguments", "token", "told"),
    [
        (["--host", "0.0.0.0"], None, "give --token FILE"),
        (["--host", "0.0.0.0", "--token", "none"], None, "cannot be read"),
        (["--host", "0.0.0.0", "--token", "word"], "short", "one word of 16 characters"),
        (["--host", "0.0.0.0", "--token", "word"], "many words " * 9, "one word of 16"),
        (["--host", "203.0.113.1", "--token", "word"], "x" * 32, "of 203.0.113.1 cannot be had"),
        (["--host", "no host", "--token", "word"], "x" * 32, "of no host cannot be had"),
    ],
)
def test_nobody_is_let_in_by_mistake(run, tmp_path, monkeypatch, capsys, arguments, token, told):
    monkeypatch.chdir(tmp_path)
    if token is not None:
        (tmp_path / "word").write_text(token)
    assert command.main([str(run), "--port", "0", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
