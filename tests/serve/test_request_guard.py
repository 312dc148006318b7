"""Requests that a page from elsewhere can cause are refused."""

import socket

import pytest

pytest.importorskip("starlette", reason="the extra app is not installed")
pytest.importorskip("httpx2", reason="the extra app-test is not installed")
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from fusion_dfd.serve.request_guard import HEADERS, Guard, Hosts, is_loopback

pytestmark = pytest.mark.extras

HOME = "http://127.0.0.1:8000"


LOCAL = Hosts(loopback=True)


def client(hosts: Hosts | None = LOCAL, **headers) -> TestClient:
    return TestClient(Guard(PlainTextResponse("let in", headers=headers), hosts), base_url=HOME)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.2"])
def test_names_of_this_machine_are_let_in(host):
    assert client().get("/", headers={"host": host}).text == "let in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "10.0.0.1",
        "",
        "[",
        "x@[::1",
        "0.0.0.0",
        "x.org@127.0.0.1",
    ],
)
def test_other_names_are_refused_on_loopback_alone(host):
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "localhost and 127.0.0.1 only" in answer.json()["detail"]
    assert client(hosts=None).get("/", headers={"host": host}).text == "let in"


@pytest.mark.parametrize("host", ["192.168.0.5:8000", "[fe80::1]:8000", "localhost", "Desk:8000", "desk.local", "a.b"])
def test_a_server_that_others_reach_answers_to_addresses_its_own_name_and_those_allowed(host, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    assert client(Hosts(False, ["A.b"])).get("/", headers={"host": host}).text == "let in"


@pytest.mark.parametrize("host", ["evil.example", "192.168.0.5.evil.example:8000", "evil.desk", "", "x@192.168.0.5"])
def test_a_server_that_others_reach_is_not_a_foreign_page_s_own(host, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    answer = client(Hosts(False)).post("/", headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 403
    assert "answers to localhost, desk, desk.local and addresses in digits only" in answer.json()["detail"]
    assert "--allow_host adds a name" in answer.json()["detail"]


def test_a_server_of_this_machine_alone_may_stand_behind_a_proxy():
    assert client(Hosts(True, ["team.example"])).get("/", headers={"host": "team.example"}).text == "let in"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9000", "https://localhost:8000", "null", "[", ""]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_pages_of_other_origins_change_nothing(origin, method):
    for hosts in (Hosts(True), Hosts(False), None):
        answer = client(hosts).request(method, "/", headers={"origin": origin})
        assert answer.status_code == 403
        assert "may not use this server" in answer.json()["detail"]


def test_own_pages_and_programs_may():
    assert client().post("/", headers={"origin": HOME}).text == "let in"
    assert client().post("/").text == "let in"
    assert client().get("/", headers={"origin": "http://evil.example"}).text == "let in"


def test_every_answer_says_what_a_page_may_do():
    for answer in (client().get("/"), client().get("/", headers={"host": "evil.example"})):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    own = client(**{"content-security-policy": "sandbox"}).get("/")
    assert own.headers.get_list("content-security-policy") == ["sandbox"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_known_without_asking(name):
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "192.168.0.1", "example.org", "localhost.example.org", ""])
def test_what_is_not_loopback_too(name):
    assert not is_loopback(name)
