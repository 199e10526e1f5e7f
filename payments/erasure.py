"""Erasing the personal data of a former customer who asks for it (R33; GDPR, art. 17).

What the law wants kept stays (art. 17, paragraph 3): orders, money and invoices with the data they were made from (art.
2220 cod. civ.: ten years), the warnings that went before a deletion, and each address as a tombstone, whose holder is
known by a keyed hash alone (R30). Lock order: login → method.
"""

from datetime import timedelta

from allauth.account.models import EmailAddress
from auditlog.context import disable_auditlog
from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from post_office.models import STATUS, Email

from accounts.models import BillingProfile, User
from mailboxes.flows import tombstone_hash
from mailboxes.models import Domain, Holder, Mailbox
from mailboxes.models.boxes import Phase
from payments import wallet
from payments.invoicing import notes, sweeps
from payments.models import Case, Invoice, Payment, Refund, StoredMethod
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order

BLANK = Holder().identity()  # the fields of an identity as they are before anybody writes in them
SETTLED = timedelta(days=1)  # by then it is written down what the relay said of a warning
UNFINISHED = Invoice.NOT_AT_SDI | {Invoice.State.SENT, Invoice.State.REFUSED}


def refusal(user: User) -> str:
    """Why the data of a login cannot be erased today, in a sentence, or ""."""
    of_user = Q(order__owner=user)
    if user.is_mailbox or user.is_staff:
        return _("Si cancellano solo i dati di un account cliente.")
    if not user.is_active and not user.email and not user.has_usable_password():
        return _("I dati di questo account sono già cancellati.")
    if Mailbox.objects.filter(owner=user).exclude(phase=Phase.DELETED).exists():
        return _("L'account ha caselle che non sono ancora Cancellate.")
    if Domain.objects.filter(owner=user).exclude(phase=Phase.DELETED).exists():
        return _("L'account ha domini che non sono ancora cancellati.")
    waiting = Q(status__in=(Order.Status.AWAITING_PAYMENT, Order.Status.PAID, Order.Status.ATTENTION))
    to_collect = Q(status=Order.Status.FULFILLED, collected_at=None)
    if Order.objects.filter(waiting | to_collect, owner=user).exists():
        return _("L'account ha ordini aperti, o da incassare.")
    money = (
        Payment.objects.live().filter(of_user),
        Refund.objects.filter(of_user, status__in=Refund.LIVE),
        Case.objects.filter(of_user | Q(payment__order__owner=user) | Q(box__owner=user), closed_at=None),
    )
    if any(found.exists() for found in money):
        return _("C'è denaro dell'account in viaggio, o un caso da verificare.")
    documents = (Invoice.objects.filter(of_user, state__in=UNFINISHED), sweeps.orders_to_invoice().filter(owner=user))
    if any(found.exists() for found in documents) or any(map(_to_credit, sweeps.refunds_to_credit().filter(of_user))):
        return _("L'account ha fatture che SdI non ha ancora preso, o da emettere.")
    return ""


def _to_credit(refund: Refund) -> bool:
    invoice = notes.invoice_of(refund.order_id) if refund.order_id else None
    return invoice is not None and notes.owed(invoice) > 0


def erase(*, user_id: int, actor: User) -> None:
    """Erase: the login is switched off for ever, who it was is gone. Not twice: the hashes would be hashed again.

    Raises RefusedError with `refusal`'s sentence. That it was done, when and by whom, stays in the audit log.
    """
    with transaction.atomic(durable=True), disable_auditlog():
        user = User.objects.select_for_update(no_key=True).get(pk=user_id)
        if sentence := refusal(user):
            raise RefusedError(sentence)
        orders, holders = Order.objects.filter(owner=user), Holder.objects.filter(owner=user)
        known = {user.email, *orders.values_list("email", flat=True), *holders.values_list("contact_email", flat=True)}
        _forget_changes(user, BillingProfile.objects.filter(user=user), holders)
        _forget_login(user)
        BillingProfile.objects.filter(user=user).delete()
        for holder in holders:
            key = tombstone_hash(holder.fiscal_key)[:16]  # still one row a holder (§4)
            blank = {**BLANK, "company_name": _("Dati cancellati"), "contact_email": "", "fiscal_key": key}
            Holder.objects.filter(pk=holder.pk).update(**blank)
        orders.update(email="", terms_ip=None)
        _forget_mails(known - {""})
        LogEntry.objects.create(
            content_type=ContentType.objects.get_for_model(User), object_pk=str(user.pk), object_id=user.pk,
            object_repr=user.username, action=LogEntry.Action.UPDATE, actor=actor, timestamp=clock.now(),
            changes={_("dati personali"): [_("presenti"), _("cancellati")]},
        )  # fmt: skip


def _forget_changes(user: User, *others: QuerySet) -> None:
    """What the audit log kept of them: the old values of every change."""
    changed = Q(content_type=ContentType.objects.get_for_model(User), object_id=user.pk)
    for rows in others:
        changed |= Q(content_type=ContentType.objects.get_for_model(rows.model), object_id__in=rows.values("pk"))
    LogEntry.objects.filter(changed).delete()


def _forget_mails(addresses: set[str]) -> None:
    """Mails to them. One on its way stays where somebody else is written to there too: it may be the warning of theirs.

    They are told apart by the address alone; what stays goes in its time with all old mails.
    """
    over = Q(status__in=(STATUS.sent, STATUS.failed), last_updated__lt=clock.now() - SETTLED)
    for address in addresses:
        mails = Email.objects.filter(to=address)
        (mails.filter(over) if _is_known(address) else mails).delete()


def _is_known(address: str) -> bool:
    """Whether a login, a holder or an order still has this address; none of who was erased has it any more."""
    return (
        User.objects.filter(email__iexact=address).exists()
        or Holder.objects.filter(contact_email__iexact=address).exists()
        or Order.objects.filter(email__iexact=address).exists()
    )


def _forget_login(user: User) -> None:
    list(StoredMethod.objects.select_for_update(no_key=True).filter(login=user).order_by("pk"))
    wallet.remove_all_of(user.pk)
    StoredMethod.objects.filter(login=user).update(label=_("metodo cancellato"))
    EmailAddress.objects.filter(user=user).delete()
    user.email, user.is_active = "", False
    user.set_unusable_password()  # which ends every session
    user.save(update_fields=["email", "is_active", "password"])
