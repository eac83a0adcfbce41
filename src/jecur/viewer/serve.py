"""A server of this machine alone: port, address with its token, browser, quiet end."""

import importlib.util
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress

from jecur.errors import SettingsError
from jecur.viewer.guard import ASGIApp

__all__ = ["address", "listen", "require_server", "serve"]

_LOOPBACK = "127.0.0.1"


def require_server(command: str) -> None:
    """Refuse to go on where the web server is not installed.

    Raises
    ------
    SettingsError
        With code "no-server".
    """
    lacking = [n for n in ("starlette", "uvicorn") if importlib.util.find_spec(n) is None]
    if lacking:
        raise SettingsError(
            f"expected {' and '.join(lacking)} for {command}, found none; install with: "
            'pip install "jecur[view]"',
            code="no-server",
        )


def listen(port: int) -> socket.socket:
    """Take a port of the loopback interface; 0 takes any that is free.

    Raises
    ------
    SettingsError
        With code "port-taken" if the port cannot be had.
    """
    if not 0 <= port <= 65_535:
        raise SettingsError(f"expected --port between 0 and 65535, found {port}")
    # named as TCP, so that asyncio sends small answers at once (else 40 ms each)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((_LOOPBACK, port))
        bound.listen()  # who opens the address at once waits for the first answer
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"expected port {port} to be free, found: {error.strerror}; name another --port, or "
            "leave it out",
            code="port-taken",
        ) from error
    return bound


def address(bound: socket.socket, token: str) -> str:
    """Address to open; the token is in the fragment, which a browser sends to nobody."""
    return f"http://{_LOOPBACK}:{bound.getsockname()[1]}/#token={token}"


def serve(
    app: ASGIApp, bound: socket.socket, *, url: str, browser: bool, say: Callable[[str], None]
) -> None:
    """Answer until Ctrl-C.

    Parameters
    ----------
    app
        Behind its `Guard`.
    bound
        Of `listen`.
    url
        Of `address`; said on one line, and opened if ``browser``.
    """
    import uvicorn  # noqa: PLC0415 - an extra

    settings = uvicorn.Config(
        app,
        log_config=None,  # what was asked for is nobody's business
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        h11_max_incomplete_event_size=16_384,
        limit_concurrency=64,
        timeout_graceful_shutdown=2,
    )
    say(url)
    if browser:
        webbrowser.open(url)
    with suppress(KeyboardInterrupt):  # how it is meant to end
        uvicorn.Server(settings).run(sockets=[bound])
