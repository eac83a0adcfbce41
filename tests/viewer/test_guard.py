"""No request but our own page's gets an answer; every answer carries our headers."""

import random
import string

import pytest

from jecur.viewer.guard import Guard, GuardSettings, Refused, new_token, whole_number

starlette = pytest.importorskip("starlette", reason='pip install "jecur[view]"')
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.applications import Starlette  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from jecur.errors import SlideError  # noqa: E402

TOKEN = new_token()
OURS = {"X-Jecur-Token": TOKEN}


async def _secret(request: Request) -> PlainTextResponse:
    return PlainTextResponse("secret")


async def _damaged(request: Request) -> PlainTextResponse:
    raise SlideError("a.svs: expected pixels, found damage; copy it again")


async def _bug(request: Request) -> PlainTextResponse:
    raise ZeroDivisionError("/home/somebody/file")


async def _body(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())), headers={"Cache-Control": "public"})


def _client(base_url="http://127.0.0.1:8000", **settings):
    app = Starlette(
        routes=[
            Route("/", _secret),
            Route("/static/a.js", _secret),
            Route("/api/secret", _secret),
            Route("/api/damaged", _damaged),
            Route("/api/bug", _bug),
            Route("/api/body", _body, methods=["POST"]),
        ]
    )
    return TestClient(Guard(app, GuardSettings(TOKEN, **settings)), base_url=base_url)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9", "[::1]:80", "LOCALHOST"])
def test_our_page_is_answered_from_this_machine_whatever_the_port(host):
    client = _client()
    assert client.get("/api/secret", headers={**OURS, "Host": host}).text == "secret"
    assert client.get("/", headers={"Host": host}).status_code == 200
    assert client.get("/static/a.js", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "token",
    [None, "", TOKEN[:-1], TOKEN + "x", TOKEN.swapcase(), "\xff"],
    ids=[
        "none",
        "empty",
        "shorter",
        "longer",
        "other-case",
        "not-ascii",
    ],  # TOKEN is another each time
)
def test_without_the_token_nothing_of_the_run_is_told(token):
    headers = {} if token is None else {"X-Jecur-Token": token.encode("latin-1")}
    answer = _client().get("/api/secret", headers=headers)
    assert answer.status_code == 401
    assert "secret" not in answer.text
    assert _client().get(f"/api/secret?token={TOKEN}").status_code == 401  # only in the header


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "127.0.0.2", "a b"],
)
def test_a_name_that_was_made_to_point_here_is_refused(host):
    answer = _client().get("/api/secret", headers={**OURS, "Host": host})
    assert answer.status_code == 421
    assert _client().get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1:8000"])
def test_another_page_is_refused(origin):
    headers = {**OURS, "Origin": origin}
    assert _client().get("/api/secret", headers=headers).status_code == 403
    headers["Origin"] = "http://127.0.0.1:8000"
    assert _client().get("/api/secret", headers=headers).status_code == 200


def test_methods_and_bodies_are_bounded():
    assert _client().post("/api/body", headers=OURS).status_code == 405
    posting = _client(methods=frozenset({"POST"}), longest_body=10)
    assert posting.post("/api/body", headers=OURS, content=b"0" * 10).text == "10"
    assert posting.post("/api/body", headers=OURS, content=b"0" * 11).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/api/..%2fsecret",
        "/static/%2e%2e/api/secret",
        "/static/..\\..\\etc",
        "/api//secret",
        "/api/secret%00",
        "/" + "a" * 300,
        "/api/secret?" + "a" * 2000,
        "/api/sécret",
    ],
)
def test_paths_that_our_page_does_not_use_lead_nowhere(path):
    assert _client().get(path, headers=OURS).status_code == 404


def test_errors_are_sentences_and_bugs_tell_no_path():
    damaged = _client().get("/api/damaged", headers=OURS)
    assert (damaged.status_code, damaged.json()) == (
        422,
        {"error": "a.svs: expected pixels, found damage; copy it again"},
    )
    assert _client().get("/api/nothing", headers=OURS).json() == {
        "error": "there is nothing at this address"
    }
    bug = _client().get("/api/bug", headers=OURS)
    assert bug.status_code == 500
    assert "ZeroDivisionError" in bug.json()["error"]
    assert "somebody" not in bug.text


def test_every_answer_carries_our_headers_and_no_others_of_their_name():
    client = _client(methods=frozenset({"GET", "POST"}), longest_body=10)
    for answer in (
        client.get("/"),
        client.get("/api/secret"),
        client.get("/api/nothing", headers=OURS),
        client.get("/api/bug", headers=OURS),
        client.post("/api/body", headers=OURS),
    ):
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.slow
def test_thousand_random_paths_without_the_token_tell_nothing():
    drawn, client = random.Random(3), _client()  # noqa: S311
    letters = string.ascii_letters + string.digits + "/.%\\-_~!:;,@$&*()"
    for _ in range(1000):
        path = "/api/" + "".join(drawn.choices(letters, k=drawn.randint(0, 40)))
        answer = client.get(path)
        assert answer.status_code in {401, 404}
        assert "secret" not in answer.text


def test_websockets_are_closed():
    with pytest.raises(Exception, match=r".*"), _client().websocket_connect("/api/secret"):
        pass


@pytest.mark.parametrize("text", ["-1", "11", "1.0", "1e3", "", " 1", "٣", "9" * 40, "0x1"])
def test_numbers_outside_are_refused(text):
    with pytest.raises(Refused) as refused:
        whole_number(text, 0, 10, "a level")
    assert refused.value.status == 404


def test_numbers_inside_are_read():
    assert [whole_number(str(n), -3, 10, "n") for n in (-3, 0, 10)] == [-3, 0, 10]


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert min(map(len, tokens)) >= 43
