"""Walking the wizard as a browser does: what a person would send at each step, with changes."""

import re
from html import unescape

from django.test import Client
from django.urls import reverse

from mailboxes.models import Mailbox

HOLDER = {
    "email": "ordine@posta.example", "address": "via Milano 2", "postal_code": "20121", "city": "Milano",
    "province": "MI", "country": "IT", "phone": "02 1234567",
}  # fmt: skip
STANDARD = {"plan": "standard", "extra_mailbox_standard": "0"}
CONFIRM = {"method": "transfer", "years": "1", "terms": "on", "shown_total": "12.08", "shown_years": "1"}


def url(step: str, box: Mailbox) -> str:
    return reverse({"confirm": "payments:confirm"}.get(step, f"renewals:{step}"), args=[box.public_id])


class Walk:
    """One browser, signed in, and one box."""

    def __init__(self, box: Mailbox, user, client: Client | None = None) -> None:
        self.box, self.client = box, client or Client()
        self.client.force_login(user, backend="accounts.backends.AccountBackend")

    def get(self, step: str):
        return self.client.get(url(step, self.box))

    def post(self, step: str, data: dict[str, str], **headers):
        return self.client.post(url(step, self.box), data, headers=headers)

    def plan(self, **changes: str):
        return self.post("plan", {**STANDARD, **changes})

    def holder(self, **changes: str):
        return self.post("holder", {**HOLDER, **changes})

    def confirm(self, **changes: str):
        return self.post("confirm", {k: v for k, v in {**CONFIRM, **changes}.items() if v != ""})

    def to_confirm(self) -> "Walk":
        assert self.plan().url == url("holder", self.box)
        assert self.holder().url == url("confirm", self.box)
        return self


def text(response) -> str:
    """What a person reads on a page: no tags, single spaces."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ").split())


def said(response) -> list[str]:
    """The sentences left for the next page (django.contrib.messages)."""
    from django.contrib.messages import get_messages

    return [str(m) for m in get_messages(response.wsgi_request)]


def errors(response) -> dict[str, list[str]]:
    """Field → sentences, of the form the page shows."""
    return {name: list(found) for name, found in response.context["form"].errors.items()}
