"""A card given on our page: the stories around Stripe's SetupIntent and PaymentIntent (DESIGN §7, R18–R20).

What Stripe says is asked before or after, never inside, a transaction; payments.recording writes what it means.
"""

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import flows, recording, setups
from payments.models import MethodSetup, Payment, ProviderCustomer
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from payments.providers.stripe import Stripe, Taken
from payments.providers.stripe_setups import CardRefusedError, Setup
from pecportal.errors import RefusedError


class ForeignSetupError(Exception):
    """The card was given for something else: not found, as far as the page is concerned."""


class NoAnswerError(RefusedError):
    """Stripe does not answer, and no money has moved."""

    def __init__(self) -> None:
        super().__init__(
            _("Il gestore delle carte non risponde. Non è stato addebitato nulla: riprova fra qualche minuto.")
        )


def open_setup(row: Payment | MethodSetup) -> Setup:
    """A SetupIntent for the card page of a payment or of a method being saved. Raises NoAnswerError."""
    login = row.login if isinstance(row, MethodSetup) else row.started_by
    keep = isinstance(row, MethodSetup) or row.auto_renewal_agreed
    stripe = Stripe()
    try:
        customer = _customer_of(stripe, login) if login else stripe.setups.new_customer(f"payment-{row.public_id}")
        return stripe.setups.new(customer=customer, reference=str(row.public_id), off_session=keep)
    except ProviderTimeoutError as error:
        raise NoAnswerError from error


def _customer_of(stripe: Stripe, login: User) -> str:
    """The login's customer at Stripe; of two tabs that make one at once, the first to be written is used."""
    known = ProviderCustomer.objects.filter(login=login, provider=stripe.name).first()
    if known is not None:
        return known.remote_id
    made = stripe.setups.new_customer(f"login-{login.pk}")
    try:
        with transaction.atomic():
            ProviderCustomer.objects.create(login=login, provider=stripe.name, remote_id=made)
    except IntegrityError:
        return ProviderCustomer.objects.get(login=login, provider=stripe.name).remote_id
    return made


def pay(payment: Payment, setup_id: str) -> str:
    """Take the money with the card of a SetupIntent, once; returns the secret to confirm with, "" when none is needed.

    Raises ForeignSetupError; RefusedError when the card was refused before any money moved (the page stays). An
    attempt that was sent already, or is being closed, is left alone.
    """
    stripe = Stripe()
    setup = _mine(stripe, payment, setup_id)
    try:
        stripe.setups.attach(setup)
    except ProviderTimeoutError as error:
        raise NoAnswerError from error
    except CardRefusedError as error:
        raise RefusedError(
            _("Carta rifiutata: %(why)s. Non è stato addebitato nulla: prova con un'altra carta.") % {"why": error}
        ) from error
    if not flows.claim(payment.pk):
        return ""
    payment.refresh_from_db()
    try:
        taken = stripe.take(payment, customer=setup.customer, method=setup.method)
    except ProviderTimeoutError as error:
        taken = Taken(Outcome(Result.UNKNOWN, reason=str(error)[:120]))
    recording.record_outcome(payment.pk, taken.outcome)
    return taken.secret


def _mine(stripe: Stripe, payment: Payment, setup_id: str) -> Setup:
    try:
        setup = stripe.setups.read(setup_id)
    except ProviderTimeoutError as error:
        raise NoAnswerError from error
    except KeyError as error:
        raise ForeignSetupError from error
    if setup.reference != str(payment.public_id):
        raise ForeignSetupError
    if payment.started_by_id is not None:
        customers = ProviderCustomer.objects.filter(login_id=payment.started_by_id, provider=stripe.name)
        if not customers.filter(remote_id=setup.customer).exists():
            raise ForeignSetupError
    if not setup.succeeded:
        raise RefusedError(_("La carta non è stata confermata. Non è stato addebitato nulla: riprova."))
    return setup


def secret_to_confirm(payment: Payment) -> str:
    """What the browser needs to let the customer confirm a payment that was sent; "" when there is nothing to do."""
    try:
        return Stripe().secret_to_confirm(payment)
    except ProviderTimeoutError:
        return ""


def keep(row: MethodSetup, setup_id: str) -> MethodSetup:
    """Keep the card of a SetupIntent of this setup. Raises ForeignSetupError, RefusedError, ProviderTimeoutError."""
    stripe = Stripe()
    try:
        setup = stripe.setups.read(setup_id)
    except KeyError as error:
        raise ForeignSetupError from error
    customers = ProviderCustomer.objects.filter(login_id=row.login_id, provider=stripe.name)
    if setup.reference != str(row.public_id) or not customers.filter(remote_id=setup.customer).exists():
        raise ForeignSetupError
    if not setup.succeeded:
        raise RefusedError(_("La carta non è stata confermata e non è stata salvata: riprova."))
    setups.remember(row, setup_id)
    setups.finish(row.pk)
    row.refresh_from_db()
    if row.status == MethodSetup.Status.FAILED:
        raise RefusedError(_("La banca ha rifiutato la carta, che non è stata salvata: provane un'altra."))
    return row
