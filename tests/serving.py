"""The server of a best model, for tests: started, asked, ended."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

from tuning.serve import __main__ as command
from tuning.serve.app import application
from tuning.serve.server import server as serve

CLASSES = ("<b>cats", "dogs", "hens & co")


@contextmanager
def serving(model, **options):
    """The application behind a real server in a thread; gives its port."""
    listener = command._listen(command.HOST, 0)
    patience = {key: value for key, value in options.items() if key == "patience"}
    server = serve(application(model, "a run", **options), **patience)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def ask(port, body=None, method="POST", path="/predict", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    kind = response.headers["content-type"]
    return response.status, json.loads(content) if "json" in kind else content.decode()
