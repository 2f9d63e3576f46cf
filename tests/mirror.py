"""A web server on the loopback that serves a folder, and fails as told."""

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Faults:
    """What happens to requests, by the end of the path: a list of faults for the first requests,
    one each, then none.

    A fault is a status (503, 404), "die" (half of the file), "html", "garbage", "hang" or
    "truncate" (half, said to be all).
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.of = folder, defaultdict[str, list](list)
        self.requests: list[tuple[str, str]] = []
        self.wrong_hash = False
        self.delay = 0.0


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, Faults]]:
    faults = Faults(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            faults.requests.append((self.path, self.headers.get("Range", "")))
            time.sleep(faults.delay)
            queue = next((q for end, q in faults.of.items() if self.path.endswith(end) and q), None)
            fault = queue.pop(0) if queue else None
            if not path.is_file():
                fault = 404
            if isinstance(fault, int):
                self.send_response(fault)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "hang":
                time.sleep(3)
                self.close_connection = True
                return
            content = path.read_bytes()
            digest = hashlib.md5(content).hexdigest()
            if fault == "html":
                content, start = b"<!DOCTYPE html><html>Sign in</html>", 0
            if fault == "garbage":
                content, start = b"\x1f\x8b" + b"garbage" * (len(content) // 7), 0
            if fault == "truncate":
                content = content[: len(content) // 2]
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Server", "AmazonS3")
            self.send_header(
                "ETag", f'"{hashlib.md5(b"other").hexdigest() if faults.wrong_hash else digest}"'
            )
            self.end_headers()
            if fault == "die":
                self.wfile.write(content[start : start + (len(content) - start) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(content[start:])

        def version_string(self) -> str:
            return "AmazonS3"

        def send_response(self, code: int, message: str | None = None) -> None:
            self.send_response_only(code, message)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
