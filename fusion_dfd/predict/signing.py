"""Ed25519 signatures (RFC 8032) of verdicts, with a key of the user's; wants the extra ``sign``.

What is signed is the verdict as JSON with sorted keys, no spaces and no characters beyond ASCII, without its field
``signature``: in Python ``json.dumps(verdict, sort_keys=True, separators=(",", ":"))``.
"""

from __future__ import annotations

import base64
import binascii
import json
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any

from fusion_dfd.types import DataError

ABSENT = "signatures want the package cryptography: pip install 'fusion-dfd[sign]'"
MAKE = "openssl genpkey -algorithm ed25519 -out key.pem makes one"
SIGNATURE = "signature"
"""The field of a verdict that holds its signature."""

Sign = Callable[[Mapping[str, Any]], dict[str, str]]
"""From a verdict as JSON values to its signature, ``{algorithm, public_key, value}``, both in base64."""


def signer(path: str) -> Sign:
    """What signs with the private key in a file (PEM or OpenSSH, without a password).

    Raises DataError for a file that cannot be read or holds no such key, and where the extra is missing.
    """
    key = _load(path, private=True)
    public = _raw(key.public_key())

    def sign(verdict: Mapping[str, Any]) -> dict[str, str]:
        return {"algorithm": "Ed25519", "public_key": public, "value": _text(key.sign(_signed(verdict)))}

    return sign


def wrong(verdict: Mapping[str, Any], key: str | None) -> str | None:
    """Why the signature of a verdict does not hold; None where it does.

    Args:
      verdict: as JSON values, with its signature.
      key: file with the public key (PEM or OpenSSH) that must have signed; None takes the key that the verdict names,
        which shows that nothing was changed after signing, but not who signed.

    Raises DataError as :func:`signer` does.
    """
    ed25519 = _library().ed25519
    stated = verdict.get(SIGNATURE)
    try:
        public, value = (base64.b64decode(stated[name], validate=True) for name in ("public_key", "value"))
        named = ed25519.Ed25519PublicKey.from_public_bytes(public)
        if stated["algorithm"] != "Ed25519":
            raise ValueError(stated["algorithm"])
    except (TypeError, KeyError, ValueError, binascii.Error) as error:
        return "it is not signed" if stated is None else f"its signature cannot be read ({error})"
    if key is not None and _raw(_load(key, private=False)) != _text(public):
        return f"it is signed with another key than {key}"
    from cryptography.exceptions import InvalidSignature

    try:
        named.verify(value, _signed(verdict))
    except InvalidSignature:
        return "it was changed after it was signed"
    return None


def _library() -> types.SimpleNamespace:
    """``serialization`` and ``ed25519`` of cryptography. Raises DataError where it is missing."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise DataError(ABSENT) from error
    return types.SimpleNamespace(serialization=serialization, ed25519=ed25519)


def _signed(verdict: Mapping[str, Any]) -> bytes:
    plain = {name: value for name, value in verdict.items() if name != SIGNATURE}
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _load(path: str, private: bool):
    library = _library()
    serialization, ed25519 = library.serialization, library.ed25519
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: this key cannot be read ({error.strerror}); {MAKE}") from error
    kind = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    if private:
        ways = (serialization.load_pem_private_key, serialization.load_ssh_private_key)
        found = [_try(lambda read=read: read(data, password=None)) for read in ways]
    else:
        ways = (serialization.load_pem_public_key, serialization.load_ssh_public_key)
        found = [_try(lambda read=read: read(data)) for read in ways]
    key = next((one for one in found if isinstance(one, kind)), None)
    if key is None:
        what = "private Ed25519 key without a password" if private else "public Ed25519 key"
        raise DataError(f"{path} holds no {what} (PEM or OpenSSH); {MAKE}")
    return key


def _try(read: Callable[[], Any]) -> Any:
    """A key; None where the file holds none of this form (the library raises errors of many kinds)."""
    try:
        return read()
    except Exception:
        return None


def _raw(key) -> str:
    return _text(key.public_bytes_raw())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
