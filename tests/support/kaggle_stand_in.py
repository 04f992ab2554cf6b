"""A server on the loopback address that speaks what Kaggle's client speaks: files, uploads, submissions, refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "KGAT_a_token_that_nobody_may_see_5f3c"
COMPETITION = "happy-whale-and-dolphin"
SERVICE = "/api/v1/competitions.CompetitionApiService/"
MODIFIED = "Tue, 01 Feb 2022 12:00:00 GMT"


@dataclass
class Kaggle:
    """What the stand-in has, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    token: str = TOKEN
    # answers that come instead of the right one, the first first: (status, message, headers)
    faults: dict[str, list[tuple[int, str, dict[str, str]]]] = field(default_factory=lambda: defaultdict(list))
    # a storage answer stops after so many bytes: with the connection, or until it is let go on
    breaks: list[int] = field(default_factory=list)
    stalls_at: int | None = None
    # what storage tells beside the size
    tells_md5: bool = True
    etag: str | None = None
    allowed: int = 5
    # lists of the board until a score is there
    looks: int = 1
    public: str = "0.87012"
    submissions: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def count(self, what: str) -> int:
        """How often something was asked for."""
        return sum(what in path for path, _ in self.asked)

    def headers(self, what: str) -> list[dict[str, str]]:
        """Headers of every such request."""
        return [headers for path, headers in self.asked if what in path]


@contextmanager
def kaggle_server(kaggle: Kaggle) -> Iterator[Kaggle]:
    """Serve until the block ends."""

    class Handler(_Handler):
        state = kaggle

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kaggle.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield kaggle
    finally:
        kaggle.stalls_at = None
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Kaggle

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self._note()
        method = self.path.removeprefix(SERVICE)
        if self.headers.get("Authorization") not in {f"Bearer {self.state.token}", self._basic()}:
            self._refuse(401, "Unauthenticated")
        elif self.state.faults[method]:
            self._refuse(*self.state.faults[method].pop(0))
        elif body.get("competitionName") != COMPETITION:
            self._refuse(404, "NotFound")
        else:
            getattr(self, method)(body)

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"ada:{self.state.token}".encode()).decode()

    def _note(self) -> None:
        self.state.asked.append((f"{self.command} {self.path}", dict(self.headers)))

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send_whole(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send_whole(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        if status == 200:
            # a page in the way, as hotels have
            self._send_whole(message.encode(), 200, {"Content-Type": "text/html"})
        else:
            self._answer({"code": status, "message": message}, status, headers)

    def _redirect(self, name: str) -> None:
        # by another name of the same machine, as storage is another host: the client must keep the token to itself
        storage = self.state.address.replace("127.0.0.1", "localhost")
        self.send_response(302)
        self.send_header("Location", f"{storage}/storage/{quote(name)}?signature=secret")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def DownloadDataFile(self, body: dict[str, Any]) -> None:
        if body["fileName"] in self.state.files:
            self._redirect(body["fileName"])
        elif f"{body['fileName']}.zip" in self.state.files:
            self._redirect(f"{body['fileName']}.zip")
        else:
            self._refuse(404, "NotFound")

    def DownloadDataFiles(self, body: dict[str, Any]) -> None:
        self._redirect(f"{body['competitionName']}.zip")

    def GetSubmissionLimits(self, body: dict[str, Any]) -> None:
        sent = len(self.state.submissions)
        self._answer({"numToday": sent, "numTotal": sent, "numAllowedNow": max(0, self.state.allowed - sent)})

    def StartSubmissionUpload(self, body: dict[str, Any]) -> None:
        token = f"blob-{len(self.state.uploads)}"
        self.state.uploads[token] = b""
        storage = self.state.address.replace("127.0.0.1", "localhost")
        self._answer({"token": token, "createUrl": f"{storage}/upload/{token}?{quote(body['fileName'])}"})

    def CreateSubmission(self, body: dict[str, Any]) -> None:
        token = body["blobFileTokens"]
        self.state.submissions.insert(
            0,
            {
                "ref": 1000 + len(self.state.submissions),
                "totalBytes": len(self.state.uploads[token]),
                "date": datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z",
                "description": body.get("submissionDescription", ""),
                "fileName": "submission.csv",
                "status": "pending",
                "looks": self.state.looks,
            },
        )
        if self.state.faults["AfterCreate"]:
            self._refuse(*self.state.faults["AfterCreate"].pop(0))
            return
        self._answer({"message": "Successfully submitted", "ref": self.state.submissions[0]["ref"]})

    def ListSubmissions(self, body: dict[str, Any]) -> None:
        for entry in self.state.submissions:
            entry["looks"] -= 1
            if entry["looks"] <= 0 and entry["status"] == "pending":
                entry |= {"status": "complete", "publicScore": self.state.public}
        start = int(body.get("pageToken") or 0)
        end = start + min(body["pageSize"], 2)
        page = [{key: v for key, v in each.items() if key != "looks"} for each in self.state.submissions[start:end]]
        more = str(end) if end < len(self.state.submissions) else ""
        self._answer({"submissions": page, "nextPageToken": more})

    def do_PUT(self) -> None:
        self._note()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.state.faults["PUT"]:
            self._refuse(*self.state.faults["PUT"].pop(0))
            return
        self.state.uploads[urlsplit(self.path).path.rpartition("/")[2]] = content
        self._answer({})

    def do_GET(self) -> None:
        self._note()
        place = urlsplit(self.path)
        assert parse_qs(place.query) == {"signature": ["secret"]}
        if self.state.faults["GET"]:
            self._refuse(*self.state.faults["GET"].pop(0))
            return
        content = self.state.files[unquote(place.path).removeprefix("/storage/")]
        tag = self.state.etag if self.state.etag is not None else f'"{hashlib.sha256(content).hexdigest()}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", MODIFIED)
        if tag:
            self.send_header("ETag", tag)
        if self.state.tells_md5:
            md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
            self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={md5}")
        self.end_headers()
        self._send(content[start:])

    def _send(self, content: bytes) -> None:
        stop = self.state.breaks.pop(0) if self.state.breaks else self.state.stalls_at
        try:
            self.wfile.write(content[:stop])
            self.wfile.flush()
            while self.state.stalls_at is not None:
                time.sleep(0.01)
            if self.state.stalls_at is None and stop is not None:
                self.close_connection = True
                return
            self.wfile.write(content[len(content) if stop is None else stop :])
        except OSError:
            # the client has gone
            self.close_connection = True
