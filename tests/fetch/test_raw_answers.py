"""Answers that no server of standing gives, byte for byte: each is a refusal in a sentence, never a fault."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jecur.errors import FetchError
from jecur.fetch import cbioportal, idc
from jecur.fetch.lists import DicomSeries, read_manifest_files
from jecur.fetch.patience import Patience
from jecur.fetch.remote import RemoteFile, is_plain_name
from jecur.fetch.transfer import fetch_file
from jecur.fetch.web import Web, require_base

ID = "12345678-1234-1234-1234-123456789abc"
BODY = b"x" * 1000
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
QUICK = Patience(2, 0.001, 0.001, 0.001, 2.0, 2.0)


def answer(*headers: bytes, status: bytes = b"200 OK", body: bytes = BODY) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


def sent_to(location: bytes) -> bytes:
    return answer(b"Location: " + location, status=b"302 Found", body=b"")


NO_ADDRESS = [
    sent_to(b"http://[::1"),
    sent_to(b"//[x]/a"),
    sent_to(b"//["),
    sent_to(b"http://[v.a]"),
]
ELSEWHERE = [sent_to(b"file:///etc/passwd"), sent_to(b"http://127.0.0.1:99999999/x")]
MANY = b"9" * 5000
NUMBERS = [
    answer(b"Retry-After: " + b"9" * 400, status=b"503 Busy"),
    answer(b"Retry-After: " + MANY, status=b"503 Busy"),
    answer(b"Content-Range: bytes " + MANY + b"-1/2", status=b"206 Part"),
    answer(b"Content-Length: " + MANY),
    answer(b"Content-Length: -5"),
    answer(b"Transfer-Encoding: chunked", body=b"f" * 5000 + b"\r\nabc"),
]


@pytest.fixture
def said() -> Iterator[Callable[[bytes], str]]:
    """Say these bytes to whoever asks; return the address."""
    now = [b""]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                asking, _ = server.accept()
                with asking, suppress(OSError):
                    asking.settimeout(2)
                    asking.recv(1 << 16)
                    asking.sendall(now[0])

    def say(raw: bytes) -> str:
        now[0] = raw
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    threading.Thread(target=serve, daemon=True).start()
    yield say
    server.close()


def fetched(base: str, out: Path, md5: str = MD5) -> Path:
    file = RemoteFile(ID, "a.svs", len(BODY), md5, f"{base}/a", "slides")
    fetch_file(Web(QUICK), file, out, lambda _: None)
    return file.place(out)


@pytest.mark.parametrize("raw", [*NO_ADDRESS, *ELSEWHERE, *NUMBERS])
def test_a_header_that_is_none_fails_this_file_alone(said, tmp_path, raw):
    with pytest.raises(FetchError) as caught:
        fetched(said(raw), tmp_path)
    if raw in (*NO_ADDRESS, *ELSEWHERE):
        assert caught.value.code == "redirected"
    assert not (tmp_path / "slides" / "a.svs").exists()


def test_three_hundred_garbled_answers_are_whole_or_refused(said, tmp_path):
    draw = random.Random(1)  # noqa: S311
    heads = [answer(b"Content-Length: 1000"), *NO_ADDRESS, *ELSEWHERE, *NUMBERS]
    signs = b"0123456789[]:/%'\";=\r\n \xff"
    for k in range(300):
        raw = bytearray(draw.choice(heads))
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(min(len(raw), 200))
            raw[place : place + draw.randint(0, 3)] = bytes(
                draw.choices(signs, k=draw.randint(0, 4))
            )
        out = tmp_path / str(k)
        try:
            assert fetched(said(bytes(raw)), out).read_bytes() == BODY
        except FetchError:
            assert not (out / "slides" / "a.svs").exists()


def chunks(*parts: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return answer(b"Transfer-Encoding: chunked", body=body + b"0\r\n\r\n")


def test_a_longer_file_without_md5_and_length_is_no_whole_one(said, tmp_path):
    assert fetched(said(chunks(BODY)), tmp_path / "a", md5="").read_bytes() == BODY
    with pytest.raises(FetchError) as caught:
        fetched(said(chunks(BODY, b"more")), tmp_path / "b", md5="")
    assert caught.value.code == "wrong-length"
    assert not (tmp_path / "b" / "slides" / "a.svs").exists()


def test_a_text_in_other_bytes_is_told(said):
    with pytest.raises(FetchError) as caught:
        Web(QUICK).text(said(answer(b"Content-Length: 2", body=b"\xff\xfe")))
    assert caught.value.code == "wrong-answer"


def manifest(path: Path, heading: str, row: str) -> Path:
    path.write_text(f"{heading}\n{row}\n", encoding="utf-8")
    return path


def test_a_size_of_five_thousand_digits_is_a_bad_row(tmp_path):
    row = f"{ID}\ta.svs\t{MD5}\t{'9' * 5000}"
    with pytest.raises(FetchError, match="row 2: expected a size in bytes") as caught:
        read_manifest_files(
            manifest(tmp_path / "m.tsv", "id\tfilename\tmd5\tsize", row), "https://x"
        )
    assert caught.value.code == "bad-manifest"


def test_a_column_that_stands_twice_says_two_things(tmp_path):
    row = f"{ID}\ta.svs\t{MD5}\t5\t{'1' * 32}"
    path = manifest(tmp_path / "m.tsv", "id\tfilename\tmd5\tsize\tmd5", row)
    with pytest.raises(FetchError, match="found md5 twice"):
        read_manifest_files(path, "https://x")


def test_counts_of_other_servers_are_bounded_too():
    page = (
        f"<ListBucketResult><Contents><Key>{ID}/a.dcm</Key><Size>{'9' * 5000}</Size></Contents>"
        "</ListBucketResult>"
    )
    (item,) = idc._parsed(page).iterfind("{*}Contents")
    with pytest.raises(FetchError, match="expected a size"):
        idc._file("https://x", DicomSeries(ID, 1, 5, "TCGA-AA-AAAA", "DX1"), item)
    assert cbioportal._total({"Total-Count": "9" * 5000}) == -1
    assert cbioportal._total({"Total-Count": "12"}) == 12


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://h:99999", "https://h:abc", "http://127.0.0.1:1:2"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(FetchError, match="expected an address"):
        require_base(url)


@pytest.mark.parametrize("name", ["CONIN$", "conout$.svs", "COM\u00b9.svs", "lpt\u00b3"])
def test_devices_of_windows_are_no_names(name):
    assert not is_plain_name(name)
