"""Callbacks to a real receiver: signed, tried again, and into no private network."""

import base64
import hashlib
import hmac
import http.server
import threading

import pytest

pytest.importorskip("sqlalchemy", reason="the extra app is not installed")
pytest.importorskip("httpcore2", reason="the extra app is not installed")

import httpcore2

from fusion_dfd.serve import callbacks, keys, store, tables, telemetry

pytestmark = pytest.mark.extras
BODY = b'{"state": "done"}'


class Receiver:
    """Answers what it is told to, one after the other; 204 once that is used up."""

    def __init__(self):
        self.answers: list[int] = []
        self.calls: list[tuple[dict, bytes]] = []
        self.url = ""


@pytest.fixture
def receiver():
    made = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            made.calls.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(made.answers.pop(0) if made.answers else 204)
            self.send_header("location", made.url)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        made.url = f"http://127.0.0.1:{server.server_port}/x"
        yield made
        server.shutdown()


@pytest.fixture
def holders(tmp_path) -> keys.Keys:
    path = str(tmp_path / "keys.json")
    keys.add(path, "alice", 9, 9, False)
    return keys.Keys(path)


@pytest.fixture
def jobs(tmp_path, clock):
    made = store.Store(store.sqlite(str(tmp_path / "jobs.sqlite")), "a folder", clock)
    yield made
    made.close()


@pytest.fixture
def told() -> telemetry.Telemetry:
    return telemetry.Telemetry()


@pytest.fixture
def caller(jobs, holders, told):
    return lambda private: callbacks.Caller(jobs, lambda job: BODY, holders, told, private)


@pytest.fixture
def ended(jobs):
    """``ended(url)``: id of a job that has ended and is to be told there."""

    def made(url: str, owner: str = "alice") -> str:
        jobs.accept(tables.Job(tables.new_id(), owner, "clip", "tiny", "d", url, 1, callback=url))
        job = jobs.claim("w", ["d"])
        assert jobs.finish(job, "done", verdict="{}")
        return job.id

    return made


def test_a_call_is_signed_as_standard_webhooks_say(receiver, ended, caller, holders, jobs):
    number = ended(receiver.url)
    caller(True).run_due()
    ((headers, body),) = receiver.calls
    assert (body, headers["webhook-id"], headers["content-type"]) == (BODY, number, "application/json")
    key = base64.b64decode(holders.secret("alice").removeprefix("whsec_"))
    signed = f"{number}.{headers['webhook-timestamp']}.".encode() + BODY
    code = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{code}"
    job = jobs.find(number)
    assert (job.callback_due, job.callback_tries, job.callback_error) == (None, 1, None)


def test_the_example_of_the_specification():
    """The values of the reference implementation's tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = callbacks.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_fails_is_called_again_after_each_wait(receiver, ended, caller, jobs, clock, told):
    receiver.answers = [500, 404, 302]
    number, calling = ended(receiver.url), caller(True)
    for tries, error in ((1, "status 500"), (2, "status 404"), (3, "status 302"), (4, None)):
        calling.run_due()
        calling.run_due()
        job = jobs.find(number)
        assert (len(receiver.calls), job.callback_tries, job.callback_error) == (tries, tries, error)
        clock.now += callbacks.WAITS[tries - 1]
    assert {headers["webhook-id"] for headers, _ in receiver.calls} == {number}
    text = told.text().decode()
    assert 'fusion_dfd_callbacks_total{outcome="failed"} 3.0' in text
    assert 'fusion_dfd_callbacks_total{outcome="delivered"} 1.0' in text


def test_it_is_given_up_in_the_end(receiver, ended, caller, jobs, clock):
    receiver.answers = [500] * 99
    number, calling = ended(receiver.url), caller(True)
    for _ in range(20):
        calling.run_due()
        clock.now += 24 * 3600
    assert len(receiver.calls) == len(callbacks.WAITS) + 1
    assert jobs.find(number).callback_due is None


def test_nobody_there_is_an_error_like_others(ended, caller, jobs):
    number = ended("http://127.0.0.1:1/")
    caller(True).run_due()
    job = jobs.find(number)
    assert job.callback_error.startswith("ConnectError")
    assert job.callback_due is not None


def test_private_addresses_are_not_even_connected_to(receiver, ended, caller, jobs, monkeypatch):
    numbers = [ended(receiver.url), ended(receiver.url.replace("127.0.0.1", "innocent.example"))]

    def resolved(host, port, **_):
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(callbacks.socket, "getaddrinfo", resolved)
    caller(False).run_due()
    for number in numbers:
        job = jobs.find(number)
        assert "is a private address" in job.callback_error
        assert job.callback_due is None, "another try would be useless"
    assert not receiver.calls


def test_what_was_checked_is_what_is_called(ended, caller, monkeypatch):
    """A name that answers differently the second time: the first answer is used, and asked for once."""
    answers = iter([[(2, 1, 6, "", ("93.184.215.14", 80))]])
    monkeypatch.setattr(callbacks.socket, "getaddrinfo", lambda *_, **__: next(answers))
    called = []

    def connect(self, host, *_):
        called.append(host)
        raise httpcore2.ConnectError("far away")

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
    ended("http://rebound.example/")
    caller(False).run_due()
    assert called == ["93.184.215.14"]


def test_a_removed_key_ends_its_callbacks(receiver, ended, caller, jobs):
    number = ended(receiver.url, owner="mallory")
    caller(True).run_due()
    assert not receiver.calls
    assert jobs.find(number).callback_error == "the key that asked for it was removed"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_what_is_not_public(address):
    assert not callbacks.is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_public(address):
    assert callbacks.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://example.org/", "file:///etc/passwd", "http://", "http://[", "https://user:word@example.org/",
        "https://example.org:0/", "https://example.org:99999/", "https://exa mple.org/", "https://example.org/\r\nx: y",
        "https://example.org/" + "x" * 2000, "http://127.0.0.1/", "http://localhost/", "http://[::1]/",
    ],
)  # fmt: skip
def test_addresses_that_can_never_be_called_are_refused_at_once(url):
    with pytest.raises(callbacks.Refused):
        callbacks.check(url, private=False)


def test_addresses_that_may_be_called():
    callbacks.check("https://example.org:8443/hook?a=b", private=False)
    callbacks.check("http://localhost:8080/", private=True)
