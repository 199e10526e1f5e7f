"""Stripe's words in ours: amounts, states, refusals, events. Pure: no network, no query.

Declines: https://docs.stripe.com/declines/codes; the advice code, where the issuer gives one, outweighs the decline
code (https://docs.stripe.com/declines/card#retrying-issuer-declines).
"""

from decimal import Decimal
from typing import Any

from payments.providers.base import Hint, Outcome, Result, SavedMethod

SOFT_CODES = frozenset({
    "approve_with_id", "call_issuer", "card_velocity_exceeded", "do_not_honor", "generic_decline", "insufficient_funds",
    "issuer_not_available", "no_action_taken", "processing_error", "reenter_transaction", "try_again_later",
    "withdrawal_count_limit_exceeded", "lock_timeout", "rate_limit",
})  # fmt: skip
# These say no for a reason that waiting does not change: expired_card, lost_card, stolen_card, pickup_card,
# incorrect_number, card_not_supported, transaction_not_allowed, fraudulent, revocation_of_authorization, … → hard.
AUTH_CODES = frozenset({"authentication_required", "payment_intent_authentication_failure"})
REASONS = {
    "insufficient_funds": "fondi insufficienti",
    "expired_card": "carta scaduta",
    "lost_card": "carta rifiutata dalla banca",  # never say that a card is reported lost or stolen
    "stolen_card": "carta rifiutata dalla banca",
    "incorrect_cvc": "codice di sicurezza sbagliato",
    "authentication_required": "la banca chiede la conferma del titolare",
    "payment_intent_authentication_failure": "conferma del titolare non riuscita",
}
STATES = {
    "requires_payment_method": Result.FAILED,
    "requires_confirmation": Result.PENDING,
    "requires_action": Result.PENDING,
    "requires_capture": Result.PENDING,
    "processing": Result.PENDING,
    "succeeded": Result.REGISTERED,
    "canceled": Result.CANCELLED,
}
REFUND_STATES = {
    "pending": Result.PENDING,
    "requires_action": Result.PENDING,
    "succeeded": Result.REFUNDED,
    "failed": Result.FAILED,
    "canceled": Result.CANCELLED,
}
DISPUTES = {
    "charge.dispute.created": "il cliente ha contestato l'addebito",
    "charge.dispute.closed": "contestazione chiusa",
}
Words = dict[str, Any]


def cents(amount: Decimal) -> int:
    return int((amount * 100).to_integral_exact())


def euros(amount: int | None) -> Decimal | None:
    return None if amount is None else Decimal(amount) / 100


def decline(error: Words) -> str:
    """How a refusal is to be taken: "soft", "hard" or "auth" (Payment.Decline)."""
    code = error.get("decline_code") or error.get("code") or ""
    if code in AUTH_CODES or error.get("code") in AUTH_CODES:
        return "auth"
    advice = error.get("advice_code")
    if advice in ("do_not_try_again", "confirm_card_data"):
        return "hard"
    if advice == "try_again_later" or code in SOFT_CODES:
        return "soft"
    # A bare card_declined tells no reason at all, as generic_decline does.
    return "soft" if code == "card_declined" else "hard"


def reason(error: Words) -> str:
    code = error.get("decline_code") or error.get("code") or ""
    return REASONS.get(code) or REASONS.get(error.get("code") or "") or "carta rifiutata dalla banca"


def outcome_of(intent: Words, *, keep: bool = False) -> Outcome:
    """A PaymentIntent (latest_charge and payment_method expanded) as an outcome; `saved` only when it is to be kept."""
    charge = intent.get("latest_charge") or {}
    error = intent.get("last_payment_error") or {}
    result = STATES.get(intent["status"], Result.UNKNOWN)
    if result == Result.CANCELLED and error:
        result = Result.FAILED  # refused first, then closed by us
    failed = result == Result.FAILED
    amount = None
    if result == Result.REGISTERED:
        amount = euros(intent.get("amount_received", charge.get("amount")))
    return Outcome(
        result,
        remote_id=intent["id"],
        amount=amount,
        currency=str(intent["currency"]).upper() if amount is not None else "",
        reason=reason(error) if failed else "",
        decline=decline(error) if failed and error else "",
        charge_id=charge.get("id") or "",
        refunded=euros(charge.get("amount_refunded") or None),
        saved=saved_of(intent.get("payment_method")) if keep and result == Result.REGISTERED else None,
    )


def saved_of(method: Words | None) -> SavedMethod | None:
    """A card as Stripe describes it: its brand, last four digits and expiry."""
    card = (method or {}).get("card")
    if not method or not card:
        return None
    brand = str(card.get("brand") or "").replace("_", " ").title() or "Carta"
    return SavedMethod(method["id"], f"{brand} •••• {card['last4']}"[:60], card["exp_month"], card["exp_year"])


def refund_outcome(refund: Words) -> Outcome:
    result = REFUND_STATES.get(refund.get("status") or "", Result.UNKNOWN)
    return Outcome(
        result,
        remote_id=refund["id"],
        amount=euros(refund["amount"]),
        currency=str(refund["currency"]).upper(),
        reason=str(refund.get("failure_reason") or "") if result == Result.FAILED else "",
    )


def hint_of(event: Words) -> Hint:
    """What a signed event is worth. Types we do not use are kind "other" and name nothing.

    Raises KeyError, TypeError on what is not an event.
    """
    kind, about, event_id = str(event["type"]), event["data"]["object"], str(event["id"])[:120]
    remote_id = str(about.get("payment_intent") or about.get("charge") or about.get("id") or "")[:120]
    if kind.startswith("payment_intent."):
        return Hint(event_id, str(about["id"])[:120])
    if kind.startswith("charge.dispute."):
        told = " · ".join(str(about[key]) for key in ("reason", "status") if about.get(key))
        detail = DISPUTES.get(kind, "contestazione aggiornata") + (f" ({told})" if told else "")
        return Hint(event_id, remote_id, "dispute", detail[:200])
    if kind == "charge.refunded" or kind.startswith(("refund.", "charge.refund.")):
        return Hint(event_id, remote_id, "refund")
    if kind.startswith("setup_intent."):
        return Hint(event_id, str(about["id"])[:120], "other")
    return Hint(event_id, "", "other")
