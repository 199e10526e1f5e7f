"""What the provider holds about an account, for its owner to keep or to take elsewhere (R33; GDPR, artt. 15 and 20)."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Model, Prefetch

from accounts.models import BillingProfile, FiscalIdentity, User
from lifecycle.models import Letter, Notice
from mailboxes.models import Domain, Holder, Mailbox
from payments.models import Allocation, AutoRenewal, Invoice, Payment, Refund, StoredMethod
from pecportal import clock
from renewals.models import Order, OrderLine

IDENTITY = FiscalIdentity.COPIED
BILLING = BillingProfile.COPIED
DATES = ("phase", "expires_on", "delete_from")
ORDER = (
    "number", "kind", "status", "years", "email", "method", "transfer_declared_on", "taxable", "vat", "total",
    "amount_due", "terms_version", "terms_accepted_at", "terms_ip", "is_consumer", "immediate_start", "confirmed_at",
    "paid_at", "fulfilled_at",
)  # fmt: skip
LINE = ("kind", "status", "plan", "mailbox_gb", "archive_gb", "net")
PAYMENT = ("provider", "status", "amount", "currency", "reason", "created_at", "registered_at")
CONSENT = ("box", "method", "years", "amount", "consent_text_version", "agreed_at", "ended_at", "ended_why")


def of_account(user: User) -> dict[str, Any]:
    """Everything about an account, under the names that its screens use; a number of queries that its size does not
    change. Nothing of another account, and no card numbers: we never have them.
    """
    boxes = Mailbox.objects.visible_to(user)
    return {
        "preparato il": clock.now(),
        "account": _row(user, "username", "email", "date_joined", "last_login"),
        "dati di fatturazione": [_row(found, *BILLING) for found in BillingProfile.objects.filter(user=user)],
        "titolari": [_row(found, *IDENTITY, "contact_email") for found in Holder.objects.filter(owner=user)],
        "domini": [_row(found, "name", "mail_host", *DATES) for found in Domain.objects.visible_to(user)],
        "caselle": [_box(box) for box in _with_periods(boxes)],
        "ordini": [_order(order) for order in _orders(user)],
        "accrediti": [_credit(found) for found in _credits(user)],
        "rimborsi": _rows(
            Refund.objects.filter(order__owner=user).select_related("order"), "order", "amount", "status", "created_at",
            "done_at",
        ),
        "fatture": _rows(
            Invoice.objects.filter(order__owner=user).select_related("order"), "kind", "order", "series", "year",
            "number", "document_date", "total", "state",
        ),
        "metodi di pagamento": _rows(
            StoredMethod.objects.filter(login=user), "label", "provider", "created_at", "removed_at"
        ),
        "consensi al rinnovo automatico": _rows(
            AutoRenewal.objects.filter(box__in=boxes).select_related("box__address", "method"), *CONSENT
        ),
        "avvisi di scadenza": [_notice(found) for found in _notices(boxes)],
    }  # fmt: skip


def _row(row: Model, *names: str) -> dict[str, Any]:
    """Some fields of a row under their names on the screen; choices and rows of other tables in words."""
    told = {}
    for name in names:
        field = row._meta.get_field(name)
        value = getattr(row, name)
        if getattr(field, "choices", None):
            value = getattr(row, f"get_{name}_display")()
        elif isinstance(value, Model):
            value = str(value)
        told[str(getattr(field, "verbose_name", name))] = value
    return told


def _rows(found: Iterable[Model], *names: str) -> list[dict[str, Any]]:
    return [_row(row, *names) for row in found]


def _with_periods(boxes: Any) -> Iterable[Mailbox]:
    return boxes.select_related("address", "holder", "plan", "domain").prefetch_related("periods").order_by("pk")


def _box(box: Mailbox) -> dict[str, Any]:
    return {
        **_row(box, "address", "domain", "holder", "plan", "mailbox_gb", "archive_gb", *DATES, "auto_renews"),
        "periodi pagati": _rows(box.periods.all(), "starts", "ends", "reversed_on"),
    }


def _orders(user: User) -> Iterable[Order]:
    lines = OrderLine.objects.select_related("mailbox__address", "domain", "address", "plan", "holder")
    orders = Order.objects.visible_to(user).select_related("billing").order_by("pk")
    return orders.prefetch_related(Prefetch("lines", lines), Prefetch("payments", Payment.objects.order_by("pk")))


def _order(order: Order) -> dict[str, Any]:
    billing, lines = getattr(order, "billing", None), []
    for line in order.lines.all():
        holder = getattr(line, "holder", None)
        about = {"riguarda": str(line.target), "intestatario": _row(holder, *IDENTITY) if holder else None}
        lines.append({**_row(line, *LINE), **about})
    return {
        **_row(order, *ORDER),
        "dati di fatturazione": _row(billing, *BILLING) if billing else None,
        "righe": lines,
        "pagamenti": _rows(order.payments.all(), *PAYMENT),
    }


def _credits(user: User) -> Iterable[Allocation]:
    """Bank money: of a receipt only what it gave this account's orders (R1)."""
    given = Allocation.objects.filter(order__owner=user, receipt__isnull=False).order_by("pk")
    return given.select_related("order", "receipt")


def _credit(given: Allocation) -> dict[str, Any]:
    payer = _row(given.receipt, "value_date", "payer", "remittance") if given.receipt else {}
    return {**_row(given, "order", "amount"), **payer}


def _notices(boxes: Any) -> Iterable[Notice]:
    found = Notice.objects.filter(box__in=boxes).select_related("box__address").order_by("pk")
    return found.prefetch_related(Prefetch("letters", Letter.objects.order_by("pk")))


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        **_row(notice, "box", "expiry", "kind", "state"),
        "lettere": _rows(notice.letters.all(), "to", "state", "queued_at", "settled_at"),
    }
