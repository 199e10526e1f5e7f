"""PayPal's own descriptions, held against what goes to and fro; they lie outside the repository and may be absent."""

import functools
import json
import os
from pathlib import Path

import jsonschema

HERE = Path(__file__).resolve()
FOLDERS = [
    Path(os.environ.get("PAYPAL_OPENAPI", "/nonexistent")),
    *(HERE.parents[n] / "shared" / "paypal-openapi" for n in (3, 4)),
]
FOLDER = next((folder for folder in FOLDERS if folder.is_dir()), None)
REQUESTS = {  # path → file, schema of the request, schema of the answer
    "order": ("checkout_orders_v2", "order_request", "order"),
    "order_get": ("checkout_orders_v2", None, "order"),
    "capture": ("checkout_orders_v2", "order_capture_request", "order"),
    "capture_get": ("payments_payment_v2", None, "capture-2"),
    "refund": ("payments_payment_v2", "refund_request", "refund"),
    "refund_get": ("payments_payment_v2", None, "refund"),
    "setup": ("vault_payment_tokens_v3", "setup_token_request", "setup_token_response"),
    "setup_get": ("vault_payment_tokens_v3", None, "setup_token_response"),
    "tokens": ("vault_payment_tokens_v3", None, "customer_vault_payment_tokens_response"),
    "token": ("vault_payment_tokens_v3", "payment_token_request", "payment_token_response"),
}


def _nullable(thing):
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(thing, list):
        return [_nullable(each) for each in thing]
    if not isinstance(thing, dict):
        return thing
    made = {key: _nullable(value) for key, value in thing.items()}
    return {"anyOf": [made, {"type": "null"}]} if made.pop("nullable", False) is True else made


@functools.cache
def _components(file: str) -> dict:
    made = _nullable(json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))["components"])
    if "token_id_request" in made["schemas"]:
        # The description names only the old type; the guide and PayPal's own client send SETUP_TOKEN.
        made["schemas"]["token_id_request"]["properties"]["type"]["enum"].append("SETUP_TOKEN")
    return made


def problems(what: str, body, *, answer: bool) -> list[str]:
    """How a body differs from its description; nothing where the descriptions are absent."""
    file, request, response = REQUESTS[what]
    name = response if answer else request
    if FOLDER is None or name is None:
        return []
    schema = {"$ref": f"#/components/schemas/{name}", "components": _components(file)}
    found = jsonschema.Draft7Validator(schema).iter_errors(body)
    return [f"{what} {'answer' if answer else 'request'} {list(e.path)}: {e.message[:200]}" for e in found]
