"""Aggiungi spazio: more GB now, charged for the months left, on one screen (orders of kind space, R9, R11)."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.core.validators import MaxValueValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from accounts import drafts
from mailboxes.catalogue import forget_shown, shown_on
from mailboxes.models import Mailbox
from payments import methods
from payments.confirm import OrderForm, go_and_pay, ip_of
from payments.invoicing import early
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import space, standing, wizard
from renewals.forms import check_order_email, order_email_field
from renewals.models import Kind
from renewals.terms import VERSION


class SpaceForm(OrderForm):
    """How many GB more, the order's e-mail, and what every order asks."""

    field_order = ("extra_mailbox", "extra_archive", "email", "method", "terms")

    extra_mailbox = forms.IntegerField(label=gettext_lazy("GB in più per la casella"), required=False, min_value=0)
    extra_archive = forms.IntegerField(label=gettext_lazy("GB in più per l'archivio"), required=False, min_value=0)
    email = order_email_field()
    immediate_start = forms.BooleanField(
        label=gettext_lazy(
            "Chiedo di avere subito lo spazio, senza aspettare i 14 giorni del recesso. So che, se recedo, pago la "
            "parte già goduta."
        ),
        required=False,
    )

    def __init__(self, *args: Any, box: Mailbox, choices: list[methods.Method], **kwargs: Any) -> None:
        super().__init__(*args, choices=choices, **kwargs)
        self.box = box
        for name, most in zip(("extra_mailbox", "extra_archive"), space.most_of(box), strict=True):
            field = self.fields[name]
            field.validators.append(MaxValueValidator(most))
            words = _("Scrivi un numero intero da 0 a %(most)s.") % {"most": most}
            field.error_messages.update(dict.fromkeys(("invalid", "min_value", "max_value"), words))
            field.help_text = _("Al massimo altri %(most)s GB.") % {"most": most}
            field.conditional = True  # type: ignore[attr-defined]
            field.widget.attrs.update({"inputmode": "numeric", "min": 0, "max": most})
            if most == 0:
                del self.fields[name]

    def wanted(self) -> tuple[int, int]:
        """Total GB of both spaces as typed, also before the form is valid; what is no number counts as nothing."""
        return self.box.mailbox_gb + self._more("extra_mailbox"), self.box.archive_gb + self._more("extra_archive")

    def _more(self, name: str) -> int:
        typed = str(self[name].value() or "0").strip() if name in self.fields else "0"
        return int(typed) if typed.isdecimal() and len(typed) < 5 else 0

    def clean_email(self) -> str:
        return check_order_email(str(self.cleaned_data["email"]))

    def clean(self) -> dict[str, Any]:
        gb = {"extra_mailbox", "extra_archive"}
        if not gb & set(self.errors) and not any(self.cleaned_data.get(name) for name in gb):
            self.add_error(min(gb & set(self.fields), key=list(self.fields).index), _("Indica quanti GB aggiungere."))
        return self.cleaned_data


@require_http_methods(["GET", "HEAD", "POST"])
@wizard.step
def add(request: HttpRequest, box: Mailbox) -> HttpResponse:
    """The page, and the order."""
    _require_possible(box)
    form = _form(box, request.POST if request.method == "POST" else drafts.take(request))
    if request.method == "POST" and "aggiorna" not in request.POST and form.is_valid():
        if done := _place(request, box, form):
            return done
    elif request.method == "POST" and "aggiorna" in request.POST:
        form = _form(box, None, initial=request.POST.dict())
    return render(request, "payments/space.html", _context(form))


@login_not_required  # see renewals.views.summary
@require_POST
def summary(request: HttpRequest, box_id: UUID, section: str = "") -> HttpResponse:
    """The price for the GB as they stand: a fragment for htmx."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return _live(request, box_id=box_id)


@wizard.step
def _live(request: HttpRequest, box: Mailbox) -> HttpResponse:
    _require_possible(box)
    form = _form(box, None, initial=request.POST.dict())
    return render(request, "payments/_space_price.html", _context(form))


def _require_possible(box: Mailbox) -> None:
    order_open = bool(standing.open_renewal(box)) or standing.space_order_open(box)
    if why := space.refusal(box, today=clock.today(), order_open=order_open):
        raise wizard.ElsewhereError(reverse("area:box", args=[box.public_id]), why)


def _form(box: Mailbox, typed: Any, initial: dict[str, Any] | None = None) -> SpaceForm:
    offered = methods.methods(delete_from=box.delete_from, today=clock.today(), kind=Kind.SPACE)
    start = {"email": box.holder.contact_email, **(initial or {})}
    return SpaceForm(typed or None, box=box, choices=offered, initial=start)


def _context(form: SpaceForm) -> dict[str, object]:
    box, today = form.box, clock.today()
    mailbox_gb, archive_gb = form.wanted()
    quote, refusal = None, ""
    if (mailbox_gb, archive_gb) != (box.mailbox_gb, box.archive_gb):
        try:
            quote = space.quote_space(
                box=box, mailbox_gb=mailbox_gb, archive_gb=archive_gb, prices=shown_on(today).prices, today=today
            )  # fmt: skip
        except RefusedError as error:
            refusal = str(error)
    billing = getattr(box.owner, "billing", None)
    return {
        "box": box, "form": form, "quote": quote, "refusal": refusal, "mailbox_gb": mailbox_gb,
        "archive_gb": archive_gb, "chosen": str(form["method"].value() or ""),
        "is_consumer": bool(billing and billing.is_consumer), "terms_version": VERSION,
        "vat_percent": (quote.totals.vat_rate * 100).normalize() if quote else Decimal(0),
    }  # fmt: skip


def _place(request: HttpRequest, box: Mailbox, form: SpaceForm) -> HttpResponse | None:
    data, (mailbox_gb, archive_gb) = form.cleaned_data, form.wanted()
    if not _invoice_possible(request, form):
        return None
    try:
        order = space.place_space(
            box_id=box.pk, user=wizard.signed_in(request), mailbox_gb=mailbox_gb, archive_gb=archive_gb,
            email=data["email"], method=data["method"], terms_version=VERSION, terms_ip=ip_of(request),
            shown_total=data["shown_total"], immediate_start=data["immediate_start"],
        )  # fmt: skip
    except RefusedError as error:
        forget_shown(clock.today())
        form.add_error(None, str(error))
        return None
    return go_and_pay(request, order, method=form.methods[data["method"]], opted_out=True)


def _invoice_possible(request: HttpRequest, form: SpaceForm) -> bool:
    """As on the third screen of the wizard: what SdI would refuse is said before the order, to the account."""
    user, quote = wizard.signed_in(request), _context(form)["quote"]
    if user.is_mailbox or not isinstance(quote, space.SpaceQuote):
        return True
    found = early.problems(form.box.owner, quote.totals, back=request.path)
    early.show(form, found)
    if found:
        drafts.save(request, str(user.pk), request.path)
    return not found
