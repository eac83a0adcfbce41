"""A twin of the servers on loopback: the GDC's API, cBioPortal and the IDC's bucket, with faults on order.

It answers as the servers are documented to: filters, paging, manifest, ``/data`` with Range and
Content-MD5; clinical data by page with ``total-count``; ListObjectsV2 with continuation. Every request
is remembered.
"""

import hashlib
import json
import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

CHUNK = 1 << 16


@dataclass
class TwinFile:
    """A file that the twin has."""

    id: str
    name: str
    md5: str
    size: int
    body: bytes = b""
    path: Path | None = None
    kind: str = "slide"

    def read(self, start: int, end: int) -> bytes:
        if self.path is None:
            return self.body[start:end]
        with self.path.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


def uuid_of(seed: object) -> str:
    return str(UUID(bytes=hashlib.md5(str(seed).encode(), usedforsecurity=False).digest()))


def make_file(seed: int, size: int, *, name: str = "", kind: str = "slide") -> TwinFile:
    body = random.Random(seed).randbytes(size)  # noqa: S311
    shown = name or f"TCGA-XX-{seed:04d}-01Z-00-DX1.{uuid_of(seed).upper()}.svs"
    return TwinFile(
        uuid_of((seed, shown)),
        shown,
        hashlib.md5(body, usedforsecurity=False).hexdigest(),
        size,
        body,
        None,
        kind,
    )


@dataclass
class Sent:
    """One answer to a request for data."""

    id: str
    asked_from: int
    status: int
    sent: int = 0


@dataclass
class Twin:
    """What the servers hold, what is wrong with them, and what was asked."""

    files: dict[str, TwinFile] = field(default_factory=dict)
    patients: dict[str, dict[str, str]] = field(default_factory=dict)
    """cBioPortal: patient -> attribute -> value."""
    objects: dict[str, TwinFile] = field(default_factory=dict)
    """IDC: key -> file."""
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """File or key -> faults of the next answers; "always:NAME" stays."""
    page_faults: list[str] = field(default_factory=list)
    answers: list[Sent] = field(default_factory=list)
    rate: float = 0.0
    """Bytes per second of one connection; 0 is as fast as it goes."""
    etags_in_parts: bool = False
    largest_page: int = 1 << 30
    """Clinical values and files that one answer holds at most, whatever is asked for."""
    total_beside_rows: bool = True
    """Whether clinical data come with their number; else it is told alone."""
    between_pages: list[Callable[[list[Any]], object]] = field(default_factory=list)
    """What happens to the list of clinical values, or of files, before a page that is not the first."""
    happened: list[Callable[[list[Any]], object]] = field(default_factory=list)
    url: str = ""
    elsewhere: str = "https://elsewhere.invalid"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *files: TwinFile) -> None:
        self.files |= {file.id: file for file in files}

    def manifest(self) -> str:
        rows = [
            f"{f.id}\t{f.name}\t{f.md5}\t{f.size}\tvalidated"
            for f in self.files.values()
            if f.kind == "slide"
        ]
        return "\n".join(["id\tfilename\tmd5\tsize\tstate", *rows]) + "\n"

    def change(self, rows: list[Any], *, later: bool) -> None:
        """Let happen to a list what has happened, and before a later page the next of it."""
        if later and self.between_pages:
            self.happened.append(self.between_pages.pop(0))
        for change in self.happened:
            change(rows)

    def sent_of(self, file_id: str) -> list[Sent]:
        return [sent for sent in self.answers if sent.id == file_id]

    def next_fault(self, key: str) -> str:
        with self.lock:
            ordered = self.faults[key]
            if ordered and ordered[0].startswith("always:"):
                return ordered[0].removeprefix("always:")
            return ordered.pop(0) if ordered else ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    twin: Twin

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        steps = [unquote(step) for step in parts.path.split("/") if step]
        if self.twin.page_faults and steps[:1] != ["data"]:
            self.page_fault(self.twin.page_faults.pop(0))
            return
        match steps:
            case ["status"]:
                self.json(
                    {"data_release": "Data Release 45.0 - twin", "status": "OK", "version": 1}
                )
            case ["files"]:
                self.list_files(query)
            case ["manifest"]:
                self.text(self.twin.manifest(), "text/tab-separated-values")
            case ["data", file_id] if file_id in self.twin.files:
                self.data(self.twin.files[file_id], file_id)
            case ["api", "studies", "lihc_tcga"]:
                self.json(
                    {"name": "LIHC (twin)", "importDate": "2026-01-02 03:04:05", "studyId": "x"}
                )
            case ["api", "studies", "lihc_tcga", "clinical-data"]:
                self.clinical(query)
            case []:
                self.bucket(query)
            case [folder, name] if f"{folder}/{name}" in self.twin.objects:
                self.data(self.twin.objects[f"{folder}/{name}"], f"{folder}/{name}")
            case _:
                self.text("no such thing", "text/plain", 404)

    # --- lists ---

    def page_fault(self, fault: str) -> None:
        if fault == "busy":
            self.text("", "text/plain", 503, {"Retry-After": "0"})
        elif fault == "login":
            self.text("<html>log in</html>", "text/html")
        else:
            self.text(fault, "application/json")

    def list_files(self, query: dict[str, str]) -> None:
        wanted = {
            leaf["content"]["field"]: leaf["content"]["value"][0]
            for leaf in json.loads(query["filters"])["content"]
        }
        assert wanted["cases.project.project_id"] == "TCGA-LIHC"
        kind = "table" if wanted.get("data_format") == "BCR Biotab" else "slide"
        found = sorted((f for f in self.twin.files.values() if f.kind == kind), key=lambda f: f.id)
        first, size = int(query["from"]), min(int(query["size"]), self.twin.largest_page)
        self.twin.change(found, later=first > 0)
        hits = [
            {"id": f.id, "file_id": f.id, "file_name": f.name, "md5sum": f.md5, "file_size": f.size}
            for f in found[first : first + size]
        ]
        pagination = {"count": len(hits), "total": len(found), "size": size, "from": first}
        self.json({"data": {"hits": hits, "pagination": pagination}, "warnings": {}})

    def clinical(self, query: dict[str, str]) -> None:
        rows = [
            {"uniquePatientKey": p, "patientId": p, "studyId": "lihc_tcga"}
            | {"clinicalAttributeId": name, "value": value}
            for p, values in self.twin.patients.items()
            for name, value in values.items()
        ]
        size, page = int(query["pageSize"]), int(query["pageNumber"])
        self.twin.change(rows, later=page > 0)
        total = {"total-count": str(len(rows))}
        if query["projection"] == "META":  # a number and nothing else
            self.text("", "application/json", 200, total)
            return
        size = min(size, self.twin.largest_page)
        self.json(
            rows[page * size : (page + 1) * size], total if self.twin.total_beside_rows else {}
        )

    def bucket(self, query: dict[str, str]) -> None:
        prefix, token = query.get("prefix", ""), query.get("continuation-token", "")
        keys = [key for key in sorted(self.twin.objects) if key.startswith(prefix) and key > token]
        page = keys[:2]
        more = len(keys) > len(page)
        parts = "-2" if self.twin.etags_in_parts else ""
        items = "".join(
            f"<Contents><Key>{key}</Key><ETag>&quot;{self.twin.objects[key].md5}{parts}&quot;</ETag>"
            f"<Size>{self.twin.objects[key].size}</Size></Contents>"
            for key in page
        )
        after = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        self.text(
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{items}{after}</ListBucketResult>",
            "application/xml",
        )

    def json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.text(json.dumps(value), "application/json", 200, headers)

    def text(
        self, text: str, kind: str, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # --- data ---

    def data(self, file: TwinFile, key: str) -> None:
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        fault = self.twin.next_fault(key)
        sent = Sent(key, start, 0)
        self.twin.answers.append(sent)
        if fault in REFUSALS:
            sent.status = REFUSALS[fault][0]
            REFUSALS[fault][1](self, file)
            return
        if start >= file.size:
            sent.status = 416
            self.text("", "text/plain", 416, {"Content-Range": f"bytes */{file.size}"})
            return
        if fault == "whole-for-part":
            start = 0
        sent.status = 206 if start else 200
        self.head(file, start, fault, sent.status)
        self.body(file, start, fault, sent)

    def head(self, file: TwinFile, start: int, fault: str, status: int) -> None:
        self.send_response(status)
        length = file.size - start - (7 if fault == "wrong-length" else 0)
        first = start - 5 if fault == "wrong-range" else start
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{file.size - 1}/{file.size}")
        name = "../../../etc/cron.d/x.svs" if fault == "name" else file.name
        self.send_header("Content-Disposition", f'attachment; filename="{name}"')
        self.send_header("Content-Type", "application/octet-stream")
        md5 = "0" * 32 if fault == "other-md5" else file.md5
        if status == 200 and fault not in {"flip", "changed"}:
            self.send_header("Content-MD5", md5)
        if fault == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        if fault == "packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if fault == "wrong-length":
            self.close_connection = True

    def body(self, file: TwinFile, start: int, fault: str, sent: Sent) -> None:
        end = file.size
        if fault == "cut":
            end = start + max(1, (file.size - start) // 2)
        if fault == "wrong-length":
            end -= 7
        if file.path is not None and not fault and not self.twin.rate:
            with file.path.open("rb") as stream:
                stream.seek(start)
                sent.sent = self.connection.sendfile(stream, start)
            return
        begun = time.monotonic()
        try:
            for at in range(start, end, CHUNK):
                piece = file.read(at, min(end, at + CHUNK))
                if fault in {"flip", "changed"} and at == start:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                if fault == "drip":
                    self.drip(piece, sent)
                    return
                chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
                self.wfile.write(chunk if fault == "chunked" else piece)
                sent.sent += len(piece)
                if self.twin.rate:
                    time.sleep(max(0.0, begun + sent.sent / self.twin.rate - time.monotonic()))
            if fault == "chunked":
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        if fault == "cut":
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def drip(self, piece: bytes, sent: Sent) -> None:
        with suppress(OSError):
            for k in range(len(piece)):
                self.wfile.write(piece[k : k + 1])
                sent.sent += 1
                time.sleep(0.02)
        self.close_connection = True


def _page(handler: Handler, _file: TwinFile) -> None:
    handler.text(
        "<!DOCTYPE html><html><body>Please log in</body></html>", "text/html; charset=utf-8"
    )


def _page_in_disguise(handler: Handler, _file: TwinFile) -> None:
    page = b"<html><body>Please log in</body></html>"
    body = page.ljust(_file.size, b" ")[: _file.size]
    handler.send_response(200)
    handler.send_header("Content-Type", "application/octet-stream")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _elsewhere(handler: Handler, _file: TwinFile) -> None:
    handler.text("", "text/plain", 302, {"Location": f"{handler.twin.elsewhere}/data/x"})


def _to_itself(handler: Handler, file: TwinFile) -> None:
    handler.text("", "text/plain", 307, {"Location": f"/data/{file.id}"})


def _busy(status: int, wait: str) -> Callable[[Handler, TwinFile], None]:
    return lambda handler, _: handler.text("", "text/plain", status, {"Retry-After": wait})


REFUSALS: dict[str, tuple[int, Callable[[Handler, TwinFile], None]]] = {
    "busy": (503, _busy(503, "1")),
    "too-many": (429, _busy(429, "0")),
    "login": (200, _page),
    "login-in-disguise": (200, _page_in_disguise),
    "elsewhere": (302, _elsewhere),
    "to-itself": (307, _to_itself),
    "forbidden": (403, lambda handler, _: handler.text("no", "text/plain", 403)),
    "gone": (404, lambda handler, _: handler.text("no", "text/plain", 404)),
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error of the server."""


@contextmanager
def serve(twin: Twin) -> Iterator[Twin]:
    """Serve on a free port of loopback until the block ends."""
    handler = type("TwinHandler", (Handler,), {"twin": twin})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        twin.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield twin
        finally:
            server.shutdown()
            thread.join()


def read_patients(path: Path) -> dict[str, dict[str, str]]:
    """What cBioPortal's API holds of its own file: values that are known, patient by patient."""
    lines = [n for n in path.read_text("utf-8").splitlines() if not n.startswith("#")]
    heading = lines[0].split("\t")
    rows = [dict(zip(heading, line.split("\t"), strict=True)) for line in lines[1:]]
    return {
        row["PATIENT_ID"]: {
            k: v for k, v in row.items() if k != "PATIENT_ID" and v and v != "[Not Available]"
        }
        for row in rows
    }
