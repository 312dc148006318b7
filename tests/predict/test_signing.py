"""Signatures: only the key that signed, and only what was signed."""

import json
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fusion_dfd.predict import signing
from fusion_dfd.types import DataError

VERDICT = {"path": "ä.mp4", "probability": 0.1, "faces": [{"timeline": [[0, 1e-9]]}], "reason": None}


@pytest.fixture
def keys(tmp_path):
    """``keys(name)``: paths of a private and its public key."""

    def made(name: str, private=None, form=serialization.PrivateFormat.PKCS8) -> tuple[str, str]:
        private = private or ed25519.Ed25519PrivateKey.generate()
        plain = serialization.NoEncryption()
        (tmp_path / name).write_bytes(private.private_bytes(serialization.Encoding.PEM, form, plain))
        subject = serialization.PublicFormat.SubjectPublicKeyInfo
        public = private.public_key().public_bytes(serialization.Encoding.PEM, subject)
        (tmp_path / f"{name}.pub").write_bytes(public)
        return str(tmp_path / name), str(tmp_path / f"{name}.pub")

    return made


def signed(key: str) -> dict:
    verdict = VERDICT | {signing.SIGNATURE: signing.signer(key)(VERDICT | {signing.SIGNATURE: None})}
    return json.loads(json.dumps(verdict))


@pytest.mark.parametrize("form", ["PKCS8", "OpenSSH"])
def test_a_signed_verdict_holds_with_its_own_key_only(keys, form):
    private, public = keys("mine", form=getattr(serialization.PrivateFormat, form))
    _, other = keys("other")
    assert signing.wrong(signed(private), public) is None
    assert signing.wrong(signed(private), None) is None
    assert "another key" in signing.wrong(signed(private), other)


@pytest.mark.parametrize("change", [{"probability": 0.2}, {"path": "b.mp4"}, {"new": 1}, {"faces": []}])
def test_a_change_after_signing_shows(keys, change):
    private, public = keys("mine")
    assert signing.wrong(signed(private) | change, public) == "it was changed after it was signed"


def test_what_is_no_signature_is_told(keys):
    _, public = keys("mine")
    assert signing.wrong(VERDICT, public) == "it is not signed"
    assert "cannot be read" in signing.wrong(VERDICT | {signing.SIGNATURE: {"value": "x"}}, public)


def test_files_without_such_a_key_are_one_sentence(keys, tmp_path):
    private, public = keys("mine")
    (tmp_path / "text").write_text("text")
    other, _ = keys("rsa", rsa.generate_private_key(65537, 2048))
    for path in (str(tmp_path / "gone"), str(tmp_path / "text"), public, other):
        with pytest.raises(DataError, match="ed25519"):
            signing.signer(path)
    with pytest.raises(DataError, match="public Ed25519 key"):
        signing.wrong(signed(private), private)


def test_the_documented_way_to_make_keys_makes_them(tmp_path):
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    assert signing.wrong(signed(str(key)), str(public)) is None
