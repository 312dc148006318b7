"""Content Credentials: a file that the library itself signed, the same file changed, and one without any."""

import datetime
import io
import json
import pathlib

import pytest

from fusion_dfd.predict import credentials

pytestmark = pytest.mark.extras

MANIFEST = {
    "claim_generator_info": [{"name": "test <camera>", "version": "1"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
                    }
                ]
            },
        }
    ],
}


def certified() -> tuple[bytes, bytes]:
    """A chain of two test certificates and the signer's key, PEM."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def name(common: str):
        oid = x509.NameOID
        return x509.Name(
            [x509.NameAttribute(oid.ORGANIZATION_NAME, "Test"), x509.NameAttribute(oid.COMMON_NAME, common)]
        )

    def certificate(subject: str, key, ca: bool) -> bytes:
        usage = [not ca, False, False, False, False, ca, ca, False, False]
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        )
        if not ca:
            mail = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(mail, critical=False)
        return made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    plain = serialization.NoEncryption()
    key = leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return certificate("signer", leaf, False) + certificate("root", root, True), key


@pytest.fixture(scope="module")
def signed(video) -> bytes:
    """A video with credentials."""
    c2pa = pytest.importorskip("c2pa", reason="wants the extra c2pa")
    chain, key = certified()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=key, ta_url=None))
    made = io.BytesIO()
    with open(video(30), "rb") as file:
        c2pa.Builder(MANIFEST).sign(signer, "video/mp4", file, made)
    return made.getvalue()


@pytest.fixture
def read(tmp_path):
    """``read(content)``: of a file whose name says nothing."""

    def made(content: bytes) -> credentials.Credentials:
        (tmp_path / "file").write_bytes(content)
        return credentials.read(str(tmp_path / "file"))

    return made


def test_what_is_stated_is_shown(signed, read):
    found = read(signed)
    assert (found.state, found.signer) == ("valid", "signer, Test")
    assert found.tool.startswith("test <camera> 1")
    assert (found.actions, found.sources) == (("c2pa.created",), ("trainedAlgorithmicMedia",))
    assert "signingCredential.untrusted" in found.problems


def test_a_change_after_signing_shows(signed, read):
    changed = bytearray(signed)
    changed[-200] ^= 1
    found = read(bytes(changed))
    assert (found.state, "assertion.bmffHash.mismatch" in found.problems) == ("invalid", True)


def test_none_is_no_statement(signed, read, video, tmp_path):
    assert read(pathlib.Path(video(30)).read_bytes()) == credentials.Credentials("absent")
    assert read(b"text" * 99) == credentials.Credentials("unreadable")
    assert read(signed[:300]).state in ("absent", "unreadable")
    assert credentials.read(str(tmp_path)) is None
    assert credentials.read(str(tmp_path / "gone")) is None


def test_they_are_in_the_record_and_change_no_verdict(signed, build, video, tmp_path):
    path = tmp_path / "signed.mp4"
    path.write_bytes(signed)
    detector = build(lambda _: [(8, 6, 36, 0.99)])
    with_them, without = detector.predict(str(path)), detector.predict(video(30))
    assert json.loads(with_them.to_json())["record"]["credentials"]["state"] == "valid"
    assert (with_them.row()["credentials"], without.row()["credentials"]) == ("valid", "absent")
    assert with_them.probability == without.probability
