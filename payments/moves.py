"""The one place where Payment.status is written, with its event (R10, R22).

payments.recording and payments.refunds call it with the payment's row locked.
"""

from collections.abc import Sequence

from payments.models import Payment, PaymentEvent


class IllegalMoveError(Exception):
    """A move that is not in Payment.MOVES: a programming error."""


def move(payment: Payment, to: str, *, why: str = "", also: Sequence[str] = ()) -> None:
    """Write the new status and its event, with the fields `also` as they stand on the row."""
    if to not in Payment.MOVES[payment.status]:
        raise IllegalMoveError(f"payment {payment.pk}: {payment.status} → {to}")
    PaymentEvent.objects.create(payment=payment, before=payment.status, after=to, why=why[:200])
    payment.status = to
    payment.save(update_fields=["status", *also])
