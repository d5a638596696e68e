"""A tiny child for the supervisor: answers /ping, notes each of its lives, and ends as it is told.

fake_child.py PORT FOLDER [die|deaf|slow|refuse]
"""

import http.server
import os
import signal
import sys
from pathlib import Path


class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(1)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"Ok.\n")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    port, folder, mood = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    if mood == "refuse":
        print("heli: the moon is full\n      wait a few days", file=sys.stderr)
        sys.exit(2)
    if mood == "die":
        sys.exit(1)
    if mood == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: leave(folder))
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Ping).serve_forever()


def leave(folder: Path) -> None:
    (folder / "drained").touch()
    os._exit(0)


if __name__ == "__main__":
    main()
