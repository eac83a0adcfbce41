"""Whatever way the environment names a proxy: it is asked as it wants, or refused by name and at once."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.fetch.twin import Twin, make_file, serve

from jecur.errors import FetchError
from jecur.fetch.patience import Patience
from jecur.fetch.proxy import Proxy, proxy_for
from jecur.fetch.remote import RemoteFile
from jecur.fetch.transfer import fetch_file
from jecur.fetch.web import Web

TRIES = 3
QUICK = Patience(TRIES, 0.001, 0.001, 0.001, 2.0, 2.0)
ASKED = "https://gdc.invalid:4443/status"
SECRET = "p@ss:w/rd#1%ü"  # noqa: S105 - nobody's


@dataclass
class Door:
    """A proxy that answers everybody the same, and remembers how it was asked."""

    port: int = 0
    reply: bytes = b""
    asked: list[bytes] = field(default_factory=list)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = socket.create_server(("127.0.0.1", 0))
    stands = Door(server.getsockname()[1])

    def answer() -> None:
        with suppress(OSError):
            while True:
                asking, _ = server.accept()
                with asking, suppress(OSError):
                    asking.settimeout(2)
                    stands.asked.append(asking.recv(1 << 16))
                    asking.sendall(stands.reply)

    threading.Thread(target=answer, daemon=True).start()
    yield stands
    server.close()


def refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> FetchError:
    monkeypatch.setenv(variable, value)
    with pytest.raises(FetchError) as caught:
        Web(QUICK).text(ASKED)
    assert SECRET not in caught.value.message
    assert quote(SECRET, safe="") not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("variable", "scheme", "user"),
    list(
        product(
            ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), ("http://", ""), ("", "me", "me:secret")
        )
    ),
)
def test_every_spelling_reaches_the_proxy_and_says_who_asks(
    door: Door, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str, user: str
) -> None:
    door.reply = b"HTTP/1.1 407 Who is there\r\nContent-Length: 0\r\n\r\n"
    name, _, password = user.partition(":")
    shown = f"{name}:{quote(SECRET, safe='')}" if password else name
    error = refused(
        monkeypatch, variable, f"{scheme}{shown}{'@' if user else ''}127.0.0.1:{door.port}"
    )
    assert (error.code, len(door.asked)) == ("server-refused", 1), "asked once: it does not pass"
    heading, *lines = door.asked[0].decode().split("\r\n")
    assert heading.startswith("CONNECT gdc.invalid:4443 ")
    told = [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-auth")]
    sent = f"{name}:{SECRET if password else ''}".encode()
    assert told == ([f"Basic {base64.b64encode(sent).decode()}"] if user else [])
    assert "user:password@host:port" in error.message


@pytest.mark.parametrize(
    ("status", "code", "n_asked"),
    [(403, "server-refused", 1), (405, "server-refused", 1), (502, "unreachable", TRIES)],
)
def test_what_a_proxy_refuses_is_told_as_the_proxys(
    door: Door, monkeypatch: pytest.MonkeyPatch, status: int, code: str, n_asked: int
) -> None:
    door.reply = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    error = refused(monkeypatch, "HTTPS_PROXY", f"http://127.0.0.1:{door.port}")
    assert (error.code, len(door.asked)) == (code, n_asked)
    assert f"HTTP {status}" in error.message
    assert f"127.0.0.1:{door.port}" in error.message


NONE = ["socks5://{}", "ftp://{}", "http://", "http://[::1", "http://127.0.0.1:99999", "http://h:x"]
NONE += [f"http://me:{SECRET}@{{}}"]  # a slash in a password that is not escaped


@pytest.mark.parametrize("value", NONE)
def test_what_is_no_proxy_is_refused_at_once(
    door: Door, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    error = refused(monkeypatch, "HTTPS_PROXY", value.format(f"127.0.0.1:{door.port}"))
    assert (error.code, door.asked) == ("unreachable", [])
    assert "HTTPS_PROXY" in error.message
    assert "tries" not in error.message


def test_a_proxy_in_plain_http_called_https_is_told(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.reply = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    error = refused(monkeypatch, "HTTPS_PROXY", f"https://127.0.0.1:{door.port}")
    assert f"name it as http://127.0.0.1:{door.port} " in error.message


def test_no_proxy_there_is_told_as_that(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(monkeypatch, "HTTPS_PROXY", "http://127.0.0.1:1")
    assert (error.code, error.message.count("tries")) == ("unreachable", 1)
    assert "the proxy http://127.0.0.1:1" in error.message


def test_what_no_proxy_names_is_asked_straight(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"me:x@[::1]:{door.port}")
    assert proxy_for(ASKED) == Proxy(f"http://[::1]:{door.port}", "me:x")
    assert proxy_for("http://127.0.0.1/") is None
    monkeypatch.setenv("NO_PROXY", "other.invalid,.invalid")
    assert proxy_for(ASKED) is None


def test_a_file_comes_by_a_proxy_too(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A twin that is asked in whole addresses, as a proxy is for plain http."""
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda _host: False)
    file = make_file(1, 1000)
    with serve(Twin()) as twin:
        twin.add(file)
        monkeypatch.setenv("HTTP_PROXY", twin.url.removeprefix("http://"))
        wanted = RemoteFile(
            file.id, file.name, file.size, file.md5, f"http://localhost:1/data/{file.id}", "slides"
        )
        fetch_file(Web(QUICK), wanted, tmp_path, lambda _: None)
    assert wanted.place(tmp_path).read_bytes() == file.body
