"""PayPal on loopback; and each request and answer that passed is held against PayPal's own descriptions, if they lie
beside the project (or where PAYPAL_OPENAPI says)."""

import json
import os
import re
from pathlib import Path

import pytest
from django.core.cache import cache
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from payments.providers import paypal_api
from tests.peers.paypal_fake import CLIENT, SECRET, WEBHOOK, PayPalFake

ROOT = Path(__file__).resolve().parents[3]
PLACES = [Path(os.environ.get("PAYPAL_OPENAPI", "")), ROOT.parent / "shared" / "paypal-openapi"]
# PayPal's reference names SETUP_TOKEN; the enum of this edition of the description is older.
KNOWN = ("payment_source/token/type: 'SETUP_TOKEN' is not one of ['BILLING_AGREEMENT']",)
FILES = ("checkout_orders_v2.json", "payments_payment_v2.json", "vault_payment_tokens_v3.json")


def descriptions() -> Path | None:
    return next((p for p in PLACES if (p / FILES[0]).is_file()), None)


class Described:
    """PayPal's own descriptions: which request bodies and answers are possible."""

    def __init__(self, folder: Path) -> None:
        self.documents = {name: json.loads((folder / name).read_text()) for name in FILES}
        self.registry = Registry().with_resources(
            (name, Resource(contents=document, specification=DRAFT202012)) for name, document in self.documents.items()
        )

    def problems(self, method: str, path: str, body: dict | None, status: int, answer: dict) -> list[str]:
        for name, document in self.documents.items():
            for template, methods in document["paths"].items():
                if method.lower() in methods and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                    operation = methods[method.lower()]
                    at = f"{name}#/paths/{template.replace('~', '~0').replace('/', '~1')}/{method.lower()}"
                    found = []
                    if body and "requestBody" in operation:
                        found += self._check(f"{at}/requestBody/content/application~1json/schema", body)
                    responses = operation["responses"]
                    if status >= 300 or str(status) in responses:
                        code = str(status) if str(status) in responses else ""
                        if code and "application/json" in responses[code].get("content", {}):
                            found += self._check(f"{at}/responses/{code}/content/application~1json/schema", answer)
                    else:
                        found.append(f"{method} {path}: status {status} is not described")
                    return [f"{method} {template} {status}: {problem}" for problem in found]
        return [f"{method} {path} is not described"]

    def _check(self, ref: str, data: object) -> list[str]:
        validator = Draft202012Validator({"$ref": ref}, registry=self.registry)
        found = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:160]}" for e in validator.iter_errors(data)]
        return [problem for problem in found if problem not in KNOWN]


@pytest.fixture(scope="session")
def described():
    folder = descriptions()
    return Described(folder) if folder else None


@pytest.fixture(scope="session")
def _running():
    fake = PayPalFake()
    yield fake
    fake.stop()


@pytest.fixture
def paypal(_running, settings, described):
    """The fake, empty, and our settings pointing at it; at the end nothing has passed that PayPal does not describe."""
    _running.clear()
    paypal_api._tokens.clear()
    cache.clear()
    settings.PAYMENT_PROVIDERS = ["paypal", "transfer"]
    settings.PAYPAL_CLIENT_ID, settings.PAYPAL_SECRET, settings.PAYPAL_WEBHOOK_ID = CLIENT, SECRET, WEBHOOK
    settings.PAYPAL_API_BASE = settings.PAYPAL_WEB_HOST = _running.base
    settings.PAYPAL_CERT_ORIGINS = [_running.base]
    yield _running
    if described is not None:
        wrong = [problem for entry in _running.log for problem in described.problems(*entry)]
        assert sorted(set(wrong)) == []
