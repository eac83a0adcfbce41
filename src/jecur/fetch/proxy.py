"""The proxy that the environment names, as other programs understand it.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` in either case. ``host:port`` is a
proxy spoken to in plain http, and a user and password in front of it are handed to the proxy; neither is
ever shown.
"""

import base64
import re
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from urllib3.exceptions import ProxyError, SSLError

from jecur.errors import FetchError
from jecur.fetch.patience import TryAgainError

__all__ = ["Proxy", "proxy_for", "refuse_proxy"]

_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Way to a server by another.

    Parameters
    ----------
    url
        Scheme, host and port, without user and password.
    credentials
        ``user:password``; "" if the environment names none.
    """

    url: str
    credentials: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Header that says who asks (RFC 7617)."""
        if not self.credentials:
            return {}
        told = base64.b64encode(self.credentials.encode("utf-8")).decode("ascii")
        return {"proxy-authorization": f"Basic {told}"}


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for an address, or None if it is asked straight.

    Raises
    ------
    FetchError
        If what the environment names is no http proxy ("unreachable").
    """
    parts = urlsplit(url)
    named = urllib.request.getproxies()
    text = (named.get(parts.scheme) or named.get("all") or "").strip()
    if not text or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    try:
        proxy = urlsplit(text if "://" in text else f"http://{text}")
        host, port = proxy.hostname, proxy.port
    except ValueError:
        host = port = None
    if not host or proxy.scheme not in {"http", "https"}:
        variable = f"{parts.scheme.upper()}_PROXY"
        shown = text.rpartition("@")[2][:120]
        raise FetchError(
            f"expected {variable} (or ALL_PROXY) to name a proxy such as http://host:3128, found "
            f"{shown!r}; correct it, or name {parts.hostname} in NO_PROXY",
            code="unreachable",
        )
    shown_host = f"[{host}]" if ":" in host else host
    credentials = ""
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return Proxy(f"{proxy.scheme}://{shown_host}" + (f":{port}" if port else ""), credentials)


def refuse_proxy(error: ProxyError, url: str) -> FetchError:
    """Say what a proxy does not do: what may pass, or what does not pass by waiting."""
    proxy, host = proxy_for(url), urlsplit(url).netloc
    name = proxy.url if proxy else "the proxy"
    cause = error.original_error
    if isinstance(cause, SSLError):
        if "WRONG_VERSION_NUMBER" in str(cause):
            return FetchError(
                f"expected the proxy {name} to speak https, found that it speaks plain http; name it as "
                f"http://{urlsplit(name).netloc} (what passes through it is encrypted all the same)",
                code="unreachable",
            )
        return FetchError(
            f"expected a certificate of the proxy {name} that this machine trusts, found: {cause}; ask "
            "who runs the network",
            code="untrusted-server",
        )
    found = _REFUSED.search(str(cause))
    if found is None:
        return TryAgainError(
            f"expected to reach {host} by the proxy {name}, found no way to the proxy",
            code="unreachable",
        )
    status = int(found[1])
    if status == 407:
        return FetchError(
            f"expected the proxy {name} to let this through, found that it wants another user and "
            "password; give them as http://user:password@host:port in HTTPS_PROXY",
            code="server-refused",
        )
    if status >= 500:
        return TryAgainError(
            f"expected the proxy {name} to reach {host}, found that it does not (HTTP {status})",
            code="unreachable",
        )
    return FetchError(
        f"expected the proxy {name} to reach {host}, found that it refuses to (HTTP {status}); ask who "
        "runs the network",
        code="server-refused",
    )
