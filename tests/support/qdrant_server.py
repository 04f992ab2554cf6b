"""A stand-in for a Qdrant server: what the client sends over HTTP is done by the client's own local mode.

It speaks the few requests that an export and a search make, and is told when to refuse. It isn't the server: no index,
no limits, nothing on disk.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from qdrant_client import QdrantClient, models


class StandIn(HTTPServer):
    """Collections in memory behind an address; `key` is wanted, and `uploads_left` points requests are answered."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = QdrantClient(":memory:")
        self.key: str | None = None
        self.uploads_left = 10_000
        self.largest = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        client, parts = self.client, path.partition("?")[0].strip("/").split("/")
        name = parts[1] if len(parts) > 1 else ""
        match (method, *[part if part != name else "NAME" for part in parts]):
            case ("GET", "aliases"):
                return client.get_aliases()
            case ("GET", "collections"):
                return client.get_collections()
            case ("POST", "collections", "NAME") if name == "aliases":
                return client.update_collection_aliases(models.ChangeAliasesOperation(**body).actions)
            case ("PUT", "collections", "NAME"):
                return client.create_collection(name, models.VectorParams(**body["vectors"]))
            case ("DELETE", "collections", "NAME"):
                return client.delete_collection(name)
            case ("PUT", "collections", "NAME", "points"):
                self.uploads_left -= 1
                if self.uploads_left < 0:
                    raise OSError("no space left on device")
                return client.upsert(name, models.Batch(**body["batch"]))
            case ("POST", "collections", "NAME", "points", "query"):
                return client.query_points(name, body["query"]["nearest"], limit=body["limit"])
        raise NotImplementedError(f"{method} {path}")


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def _handle(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.largest = max(self.server.largest, len(sent))
        status, said = 200, {"status": "ok", "time": 0.0}
        if self.server.key not in {None, self.headers.get("api-key")}:
            status, said = 401, {"status": {"error": "Must provide an API key"}}
        else:
            try:
                result = self.server.answer(self.command, self.path, json.loads(sent or b"{}"))
                said["result"] = json.loads(result.model_dump_json()) if hasattr(result, "model_dump_json") else result
            except OSError as error:
                status, said = 500, {"status": {"error": f"Service internal error: {error}"}}
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _handle

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """Serve until the end of the block."""
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
