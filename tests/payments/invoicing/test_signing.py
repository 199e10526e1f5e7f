"""Files of public bodies: signed with a key of a PKCS#12 file, or waiting for one."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.xades import XAdESVerifier

from accounts.models import BillingProfile
from payments.invoicing import checks, sending, signing, sweeps
from payments.models import Invoice
from pecportal import clock
from tests.payments.invoicing.issued import BODY, fresh, given, invoiced

pytestmark = pytest.mark.django_db(transaction=True)
PASSPHRASE = "prova"
SIGNED = ["FatturaElettronica", "SignedProperties", "KeyInfo"]


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Posta Esempio")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1000))
    return made.sign(key, hashes.SHA256())


@pytest.fixture(params=["rsa", "ec"])
def key(request, settings, tmp_path):
    """A key of each kind in a file, its settings, and its certificate."""
    made = rsa.generate_private_key(65537, 2048) if request.param == "rsa" else ec.generate_private_key(ec.SECP256R1())
    certificate = certificate_of(made)
    file = tmp_path / f"{request.param}.p12"
    locked = BestAvailableEncryption(PASSPHRASE.encode())
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"firma", made, certificate, None, locked))
    settings.SIGNING_KEY, settings.SIGNING_PASSWORD = str(file), PASSPHRASE
    return certificate


@pytest.fixture
def order(box, alice):
    BillingProfile.objects.filter(user=alice).update(**BODY)
    return given(box, type(alice).objects.get(pk=alice.pk))


def test_without_a_key_it_waits_and_does_not_go(order):
    invoice = invoiced(order)
    assert (invoice.state, invoice.format, invoice.is_signed) == ("to_sign", "FPA12", False)
    assert sending.send_due() == 0
    assert list(Invoice.objects.queue()) == [invoice]


def test_signed_with_the_key_still_valid_and_by_whom(order, key):
    invoice = invoiced(order)
    assert (invoice.state, invoice.is_signed) == ("ready", True)
    xml = bytes(invoice.xml)
    assert checks.findings(xml, today=clock.today()) == []
    verified = XAdESVerifier().verify(xml, x509_cert=key, expect_references=3)
    assert [etree.QName(v.signed_xml).localname for v in verified] == SIGNED


def test_what_was_signed_cannot_be_changed(order, key):
    xml = bytes(invoiced(order).xml)
    assert b"<Comune>Roma<" in xml
    with pytest.raises(Exception, match=r"(?i)digest|signature"):
        XAdESVerifier().verify(xml.replace(b"<Comune>Roma<", b"<Comune>Rema<"), x509_cert=key, expect_references=3)


def test_what_waited_is_signed_once_there_is_a_key(order, settings, key):
    path, settings.SIGNING_KEY = settings.SIGNING_KEY, ""
    invoice = invoiced(order)
    sweeps.sweep()
    assert fresh(invoice).state == "to_sign"
    settings.SIGNING_KEY = path
    sweeps.sweep()
    assert (fresh(invoice).state, fresh(invoice).file_name) == ("ready", invoice.file_name)


@pytest.mark.parametrize("content", [b"", b"no key", None])
def test_a_key_that_cannot_be_used_says_why_without_its_passphrase(settings, tmp_path, content):
    file = tmp_path / "key.p12"
    if content is not None:
        file.write_bytes(content)
    settings.SIGNING_KEY, settings.SIGNING_PASSWORD = str(file), "segreta"
    with pytest.raises(signing.SigningError) as error:
        signing.certificate()
    assert "SIGNING_KEY" in str(error.value) and "segreta" not in str(error.value)


def test_a_key_that_cannot_be_used_leaves_the_file_to_sign(order, settings):
    settings.SIGNING_KEY = "/nowhere/key.p12"
    with pytest.raises(signing.SigningError):
        invoiced(order)
    sweeps.sweep()
    assert Invoice.objects.get().state == "to_sign"
