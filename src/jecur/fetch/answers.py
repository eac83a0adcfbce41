"""What a server answers: refused if it is no data, and read for what it says of the file."""

import base64
import binascii
import re
from contextlib import suppress
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

import urllib3

from jecur.errors import FetchError
from jecur.fetch.patience import TryAgainError

__all__ = ["md5_told", "name_told", "page_error", "range_told", "refuse_page", "refuse_status"]

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)


def refuse_status(response: urllib3.BaseHTTPResponse) -> None:
    """Refuse an answer that is none.

    Raises
    ------
    TryAgainError
        If the server is busy.
    FetchError
        For every other status than 200 and 206.
    """
    status = response.status
    if status in {200, 206}:
        return
    if status in _BUSY:
        error = TryAgainError(
            f"expected the file, found the server busy (HTTP {status})", code="server-busy"
        )
        error.after_s = _asked_s(response.headers.get("Retry-After", ""))
        raise error
    if status == 407:
        raise FetchError(
            "expected the proxy to let this through, found that it wants another user and password; give "
            "them as http://user:password@host:port in HTTPS_PROXY",
            code="server-refused",
        )
    if status in {404, 410}:
        raise FetchError(
            f"expected the file on the server, found none (HTTP {status}); it may have been replaced: "
            "fetch a newer list and give it as --manifest",
            code="not-on-server",
        )
    raise FetchError(
        f"expected a file that is open to everybody, found HTTP {status}; see whether this network "
        "lets you reach the server",
        code="server-refused",
    )


def refuse_page(response: urllib3.BaseHTTPResponse) -> None:
    """Refuse a web page in place of data: a log-in, a captive portal, an error page."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        raise page_error()


def page_error() -> FetchError:
    """Say that a web page came in place of data."""
    return FetchError(
        "expected data, found a web page (a log-in, or a notice of this network); open the address in "
        "a browser, log in or ask who runs the network, then run the same command again",
        code="login-page",
    )


def _asked_s(header: str) -> float:
    """Seconds that Retry-After asks for, as a number or a date; 0 if it says nothing."""
    if _SECONDS.fullmatch(header.strip()):
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def name_told(header: str) -> str:
    """File name in a Content-Disposition header, as it stands there."""
    message = Message()
    with suppress(ValueError, LookupError):
        message["Content-Disposition"] = header
        return message.get_filename("") or ""
    return ""


def md5_told(header: str) -> str:
    """MD5 in a header as hexadecimal digits: as such, or as RFC 1864 writes it; "" if it is none."""
    text = header.strip().strip('"')
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return raw.hex() if len(raw) == 16 else ""


def range_told(response: urllib3.BaseHTTPResponse) -> tuple[int, int, int] | None:
    """First byte, last byte and size of the whole that a 206 answer claims; None if it says none."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
