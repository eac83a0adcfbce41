"""What every request must pass before it reaches a page of ours: token, Host, method, size, path.

A server on this machine can be reached by every page open in its browser and by every user who is
logged in. So: a token that only the printed address holds, in its fragment, which browsers send to
nobody; a Host check, against names that are made to point here; no answer to other pages' scripts.
"""

import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from jecur.errors import JecurError

__all__ = ["ASGIApp", "Guard", "GuardSettings", "Refused", "new_token", "whole_number"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = b"x-jecur-token"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PLAIN_PATH = re.compile(rb"/[A-Za-z0-9/._-]*")
"""Paths of ours need nothing else: whatever is escaped is not ours."""
_LONGEST_PATH, _LONGEST_QUERY = 200, 1_000

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""Of every answer: no script or style but our files, nothing kept on disk, in nobody's frame."""


_SENTENCES = {
    404: "there is nothing at this address",
    405: "expected a request of this page, found another kind",
}


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that gets no answer but a sentence.

    Parameters
    ----------
    status
        HTTP status, 400 to 599.
    sentence
        What the page shows.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What a server lets through.

    Parameters
    ----------
    token
        Of this server; every path but the open ones wants it in the header ``X-Jecur-Token``.
    open_paths
        Paths, or beginnings of paths that end in "/", that hold nothing of the run: page, scripts.
    methods
        HTTP methods.
    longest_body
        Bytes of a request's body at most.
    """

    token: str
    open_paths: tuple[str, ...] = ("/", "/static/")
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    longest_body: int = 0


def new_token() -> str:
    """Make a token nobody can guess: 256 bits of the system's randomness."""
    return secrets.token_urlsafe(32)


def whole_number(text: str, low: int, high: int, what: str) -> int:
    """Read a whole number of a path or query, in [``low``, ``high``].

    Raises
    ------
    Refused
        404 if it is none, or lies outside.
    """
    if not re.fullmatch(r"-?[0-9]{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        raise Refused(404, f"expected {what} from {low} to {high}; there is no other")
    return int(text)


class Guard:
    """An ASGI application that lets only our own page through to another one.

    Parameters
    ----------
    app
        Answers what is let through.
    settings
        Token, open paths, methods, size of bodies.
    """

    def __init__(self, app: ASGIApp, settings: GuardSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send)
        try:
            self._require_ours(scope)
            await self._app(scope, _bounded(receive, self._settings.longest_body), answer.take)
        except Exception as error:
            if answer.begun:
                raise
            await answer.say(*_as_sentence(error))
            return
        if answer.refused:
            await answer.say(answer.refused, _SENTENCES.get(answer.refused, "it cannot be done"))

    def _require_ours(self, scope: Scope) -> None:
        """Refuse what our own page would not send."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in {b"host", b"origin", TOKEN_HEADER}:
                raise Refused(400, "expected each header once, found one twice")
            headers[name] = value
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
        self._require_plain(path.split(b"?")[0], scope)
        host = headers.get(b"host", b"").decode("latin-1")
        if _name(host) not in _LOOPBACK:
            raise Refused(
                421,
                "expected the address that jecur printed, found another name; open that address",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1") != f"http://{host}":
            raise Refused(403, "expected a request of this page, found one of another page")
        if not self._is_open(scope["path"]):
            given = headers.get(TOKEN_HEADER, b"")
            if not hmac.compare_digest(given, self._settings.token.encode()):
                raise Refused(
                    401, "expected the token of this server; open the address that jecur printed"
                )

    def _require_plain(self, path: bytes, scope: Scope) -> None:
        if scope["method"] not in self._settings.methods:
            raise Refused(405, _SENTENCES[405])
        if (
            len(path) > _LONGEST_PATH
            or len(scope["query_string"]) > _LONGEST_QUERY
            or not _PLAIN_PATH.fullmatch(path)
            or b".." in path
            or b"//" in path
        ):
            raise Refused(404, _SENTENCES[404])

    def _is_open(self, path: str) -> bool:
        return any(
            path == known or (known != "/" and known.endswith("/") and path.startswith(known))
            for known in self._settings.open_paths
        )


def _name(host: str) -> str:
    """Host without its port: behind ``ssh -L`` the port is another one."""
    found = re.fullmatch(r"(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?", host)
    return found[1].lower() if found else ""


def _bounded(receive: Receive, longest: int) -> Receive:
    """Pass a body on until it is longer than allowed."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > longest:
            raise Refused(413, "expected a shorter request")
        return message

    return bounded


class _Answer:
    """What goes out: our headers on all of it, and a sentence in place of a framework's error page."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.refused = 0
        """Status of an error page that was held back; 0 if none was."""

    async def take(self, message: Message) -> None:
        """Pass on a message of the application, or hold it back."""
        if message["type"] == "http.response.start":
            headers = {n.lower(): v for n, v in message.get("headers", [])}
            if message["status"] >= 400 and headers.get(b"content-type") != b"application/json":
                self.refused = message["status"]
            message = {**message, "headers": list((headers | _HEADERS).items())}
        if not self.refused:
            self.begun = True
            await self._send(message)

    async def say(self, status: int, sentence: str) -> None:
        """Answer with a sentence as JSON."""
        self.refused = 0
        body = json.dumps({"error": sentence}).encode()
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await self.take({"type": "http.response.start", "status": status, "headers": headers})
        await self.take({"type": "http.response.body", "body": body})


def _as_sentence(error: Exception) -> tuple[int, str]:
    if isinstance(error, Refused):
        return error.status, error.sentence
    if isinstance(error, JecurError):
        return 422, error.message
    return 500, f"something went wrong in Jecur itself ({type(error).__name__}); please report it"
