"""An S3-compatible server on loopback: moto's, one request at a time. Prints its port, and serves until stdin ends.

moto looks whether a key is there and then writes it, as two steps; S3 does both at once. So no two requests overlap.
"""

from __future__ import annotations

import logging
import sys
from threading import Lock, Thread
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

lock = Lock()
moto = DomainDispatcherApplication(create_backend_app)


def one_at_a_time(environ: dict[str, Any], start: Any) -> list[bytes]:
    with lock:
        return list(moto(environ, start))


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()  # whoever started this has stopped, however that was
