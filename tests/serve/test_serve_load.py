"""The server under 200 clients at once for a minute: answers or 503, nothing else; memory flat."""

import http.client
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from exported import run_folder

CLIENTS = 200
SECONDS = 60
WARM = 15  # seconds until memory is what it stays


def memory(process: subprocess.Popen) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


@pytest.mark.soak
def test_two_hundred_clients_for_a_minute(photos, tmp_path):
    run = run_folder(tmp_path, photos)
    picture = next((photos / "validation" / "dogs").iterdir()).read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning.serve", str(run), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    port = int(re.search(r":(\d+) ", process.stdout.readline())[1])
    told, lock, until = Counter(), threading.Lock(), time.monotonic() + SECONDS

    def client() -> None:
        found = Counter()
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("POST", "/predict", picture)
                found[connection.getresponse().status] += 1
            except OSError as error:
                found[type(error).__name__] += 1
            finally:
                connection.close()
        with lock:
            told.update(found)

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    time.sleep(WARM)
    warm = memory(process)
    for each in clients:
        each.join()
    grown = memory(process) - warm
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    print(f"{told[200] / SECONDS:.0f} answers a second, {told[503]} times 503, {grown:+.0f} MB")
    assert set(told) <= {200, 503}
    assert told[200] > SECONDS
    assert grown < 50
