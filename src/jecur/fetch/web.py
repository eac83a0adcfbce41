"""Talking to a server: one origin, patience with what passes, no trust in what it says.

An answer is read only from the scheme, host and port that were asked. What may pass (a busy
server, a lost connection) is tried again after a pause that grows, is drawn at random, and is at
least as long as the server asks; what does not pass by waiting is refused at once, by name.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

import jecur
from jecur.errors import FetchError
from jecur.fetch.answers import refuse_page, refuse_status
from jecur.fetch.patience import Pace, Patience, StoppedError, TryAgainError
from jecur.fetch.proxy import Proxy, proxy_for, refuse_proxy

__all__ = ["ENOUGH", "Web", "require_base"]

T = TypeVar("T")
ENOUGH = 1 << 20
"""Bytes gained that make a new series of tries: a flaky line that gets on is not given up."""
_MOST_REDIRECTS = 5
_LARGEST_TEXT = 256 << 20
_CHUNK = 1 << 16
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def require_base(url: str) -> str:
    """Return the address of a server; plain http is for this very machine alone.

    Raises
    ------
    FetchError
        If it is no https address, or holds a user, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise FetchError(
            f"expected an address such as https://host/path, found {url!r} ({error})"
        ) from error
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise FetchError(f"expected an address such as https://host/path, found {url!r}")
    if parts.scheme != "https" and not local:
        raise FetchError(f"expected an https address, found {url!r}; name the server's https one")
    return url.rstrip("/")


class Web:
    """Connections to servers, shared by threads.

    Parameters
    ----------
    patience
        How long to wait.
    stop
        Set to end every wait and transfer.
    """

    def __init__(
        self, patience: Patience | None = None, stop: threading.Event | None = None
    ) -> None:
        self.patience = patience or Patience()
        self.stop = stop or threading.Event()
        self._pools: dict[Proxy | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    @contextmanager
    def answer(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Ask and yield the answer, its body unread; redirects are followed on the same origin.

        Raises
        ------
        TryAgainError
            If there is no connection, or it breaks inside the block.
        FetchError
            If the server sends elsewhere ("redirected") or cannot be trusted ("untrusted-server").
        """
        with _lost_connections(url):
            response = self._follow(url, dict(headers or {}))
            whole = False
            try:
                yield response
                whole = True
            finally:
                if whole and not response.closed and response.length_remaining == 0:
                    response.release_conn()
                else:
                    response.close()

    def _follow(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        for _ in range(_MOST_REDIRECTS):
            if self.stop.is_set():
                raise StoppedError
            response = self._pool(url).request(
                "GET", url, headers=headers, preload_content=False, redirect=False, retries=False
            )
            if response.status not in {301, 302, 303, 307, 308}:
                return response
            response.close()
            target = _target(url, response.headers.get("Location", ""))
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise FetchError(
                    f"expected the file from {urlsplit(url).netloc}, found that it sends to "
                    f"{urlsplit(target).netloc or target!r}; not followed: name the right server with "
                    "--base-url, or ask who runs this network",
                    code="redirected",
                )
            url = target
        raise FetchError(
            f"expected an answer, found more than {_MOST_REDIRECTS} redirections; ask who runs the "
            "server",
            code="redirected",
        )

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Choose connections: straight, or by the proxy that the environment names."""
        proxy = proxy_for(url)
        with self._lock:
            if proxy not in self._pools:
                timeout = urllib3.Timeout(
                    connect=self.patience.connect_s, read=self.patience.read_s
                )
                agent = {"User-Agent": f"jecur/{jecur.__version__}", "Accept-Encoding": "identity"}
                self._pools[proxy] = (
                    urllib3.ProxyManager(
                        proxy.url,
                        maxsize=8,
                        timeout=timeout,
                        headers=agent,
                        proxy_headers=proxy.headers,
                    )
                    if proxy
                    else urllib3.PoolManager(maxsize=8, timeout=timeout, headers=agent)
                )
            return self._pools[proxy]

    def patiently(self, work: Callable[[], T], gained: Callable[[], int] = lambda: 0) -> T:
        """Do a work again as long as what fails may pass.

        Parameters
        ----------
        work
            Raises `TryAgainError` for what may pass.
        gained
            Bytes that are safe on the disk; `ENOUGH` more begin a new series of tries.

        Raises
        ------
        FetchError
            With the last failure's code, once the tries are used up.
        StoppedError
            If everything is to stop.
        """
        failed, safe = 0, gained()
        while True:
            try:
                return work()
            except TryAgainError as error:
                now = gained()
                failed = 1 if now - safe >= ENOUGH else failed + 1
                safe = max(safe, now)
                if failed >= self.patience.tries:
                    raise FetchError(
                        f"{error.message} ({failed} tries); run the same command again to go on",
                        code=error.code,
                    ) from error
                if self.stop.wait(self.patience.pause(failed, error.after_s)):
                    raise StoppedError from error

    def text(self, url: str) -> tuple[str, Mapping[str, str]]:
        """Return a text and the headers it came with, tried again as needed.

        Raises
        ------
        FetchError
            If it does not come, is a web page, or is no UTF-8.
        """
        return self.patiently(lambda: self._text(url))

    def _text(self, url: str) -> tuple[str, Mapping[str, str]]:
        with self.answer(url) as response:
            refuse_status(response)
            refuse_page(response)
            body, pace = bytearray(), Pace(self.patience)
            while piece := response.read1(_CHUNK):  # a drip must not hold everything up for hours
                body += piece
                if self.stop.is_set():
                    raise StoppedError
                pace.gained(len(piece))
                if len(body) > _LARGEST_TEXT:
                    raise FetchError(
                        f"expected an answer of some MB from {url}, found no end of it"
                    )
            return _decoded(bytes(body), url), dict(response.headers)

    def json(self, url: str, kind: type[T], expected: str) -> tuple[T, Mapping[str, str]]:
        """Return what a server says in JSON, of the kind that is expected, and the headers.

        Raises
        ------
        FetchError
            If it does not come, or says something else ("wrong-answer").
        """
        text, headers = self.text(url)
        try:
            return msgspec.json.decode(text, type=kind), headers
        except (msgspec.DecodeError, RecursionError) as error:
            raise FetchError(
                f"expected {expected} from {urlsplit(url).netloc}, found another answer ({error}): "
                f"{text[:60]!r}; look at what --base-url names",
                code="wrong-answer",
            ) from error


def _target(url: str, location: str) -> str:
    """Where a redirection leads.

    Raises
    ------
    FetchError
        If it is no address.
    """
    try:
        target = urljoin(url, location)
        urlsplit(target)
    except ValueError as error:
        raise FetchError(
            f"expected the file from {urlsplit(url).netloc}, found that it sends to {location[:120]!r}, "
            "which is no address; ask who runs the server",
            code="redirected",
        ) from error
    return target


def _decoded(body: bytes, url: str) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FetchError(
            f"expected text in UTF-8 from {urlsplit(url).netloc}, found other bytes; look at what "
            "--base-url names",
            code="wrong-answer",
        ) from error


@contextmanager
def _lost_connections(url: str) -> Iterator[None]:
    host = urlsplit(url).netloc
    try:
        yield
    except SSLError as error:
        raise FetchError(
            f"expected a certificate of {host} that this machine trusts, found: {error}; ask who runs "
            "the network",
            code="untrusted-server",
        ) from error
    except ProxyError as error:
        raise refuse_proxy(error, url) from error
    except (NewConnectionError, NameResolutionError, ConnectTimeoutError) as error:
        raise TryAgainError(
            f"expected to reach {host}, found no way there", code="unreachable"
        ) from error
    except (HTTPError, TimeoutError, ConnectionError) as error:
        said = type(error).__name__.removesuffix("Error")
        raise TryAgainError(
            f"expected the whole answer, found the connection lost ({said})"
        ) from error
