"""Signing of files for public bodies (DM 55/2013): XAdES-BES enveloped, with the seller's key of a PKCS#12 file.

The signature stands inside the XML, so a signed file keeps its name and is still valid against the schema. Another way
to sign (a remote service) is another `sign` of this shape: bytes in, bytes out.
"""

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import Certificate
from django.conf import settings
from lxml import etree

from payments.invoicing import schema_check

Key = RSAPrivateKey | EllipticCurvePrivateKey


class SigningError(Exception):
    """The key cannot be used; the message says why, without its passphrase."""


def is_configured() -> bool:
    return bool(settings.SIGNING_KEY)


def sign(xml: bytes) -> bytes:
    """A file with its signature in it. Raises SigningError."""
    from signxml import SignatureMethod
    from signxml.xades import XAdESSigner

    key, certificates = _key(settings.SIGNING_KEY, settings.SIGNING_PASSWORD)
    method = SignatureMethod.RSA_SHA256 if isinstance(key, RSAPrivateKey) else SignatureMethod.ECDSA_SHA256
    signer = XAdESSigner(signature_algorithm=method)
    signed = signer.sign(schema_check.parse(xml), key=key, cert=list(certificates))
    return bytes(etree.tostring(signed, xml_declaration=True, encoding="UTF-8"))


def certificate() -> Certificate:
    """The certificate of the key, for who asks until when it is good. Raises SigningError."""
    return _key(settings.SIGNING_KEY, settings.SIGNING_PASSWORD)[1][0]


@cache
def _key(path: str, password: str) -> tuple[Key, tuple[Certificate, ...]]:
    try:
        content = Path(path).read_bytes()
        key, own, others = pkcs12.load_key_and_certificates(content, password.encode() or None)
    except OSError as error:
        raise SigningError(f"SIGNING_KEY cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SigningError("SIGNING_KEY is no PKCS#12 file, or SIGNING_PASSWORD does not open it") from error
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey) or own is None:
        raise SigningError("SIGNING_KEY holds no RSA or EC key with its certificate")
    return key, (own, *others)
