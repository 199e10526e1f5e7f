"""The first two screens of the wizard as forms: plan and space, holder's data (R5–R7, R12)."""

import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.emails import refuse_username
from accounts.fiscal_forms import ADDRESS, FiscalIdentityForm
from mailboxes import rules as boxes
from mailboxes.catalogue import PriceList
from mailboxes.flows import limits
from mailboxes.hosting import is_hosted
from mailboxes.models import Holder, Mailbox, Plan, Price
from mailboxes.platform.base import Usage
from pecportal.formats import euro
from renewals import flows, standing, words
from renewals.answers import Answers
from renewals.rules import Code, Problem

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class PlanCard:
    """A plan as a radio card. `reason` says why it cannot be chosen; GB fields are None where the plan sells none."""

    plan: Plan
    price: Decimal | None
    space: str
    difference: str
    reason: str
    checked: bool
    extra_mailbox: BoundField | None
    extra_archive: BoundField | None


class PlanForm(forms.Form):
    """Plan, GB beyond the plan's own, and the tick that the archive may go. Every plan has GB fields of its own, shown
    under its card while it is the chosen one: only those of the chosen plan count.

    After cleaning, `choice` is what was asked, also when `problems` stand against it; None when it is no choice.
    """

    plan = forms.ChoiceField(
        label=gettext_lazy("Tipologia"),
        widget=forms.RadioSelect,
        error_messages={
            "required": gettext_lazy("Scegli una tipologia."),
            "invalid_choice": gettext_lazy("Questa tipologia non si può scegliere: scegline una di quelle elencate."),
        },
    )
    archive_loss = forms.BooleanField(
        label=gettext_lazy("Ho capito: i messaggi dell'archivio saranno cancellati per sempre"), required=False
    )

    def __init__(
        self, *args: Any, box: Mailbox, plans: list[Plan], prices: PriceList, used: Usage, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.box, self.prices, self.used = box, prices, used
        self.plans = {plan.code: plan for plan in plans}
        self.choice: flows.Choice | None = None
        self.problems: list[Problem] = []
        self.fields["plan"].choices = [(plan.code, plan.name) for plan in plans]  # type: ignore[attr-defined]
        for plan in plans:
            self._add_gb(plan)

    def _add_gb(self, plan: Plan) -> None:
        for name, label, most in (
            ("mailbox", _("GB in più per la casella"), plan.max_mailbox_gb - plan.base_mailbox_gb),
            ("archive", _("GB in più per l'archivio"), plan.max_archive_gb - plan.base_archive_gb),
        ):
            field = forms.IntegerField(
                label=label,
                required=False,
                min_value=0,
                max_value=most,
                error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), words.extra_gb(most)),
                widget=forms.NumberInput(attrs={"inputmode": "numeric", "step": "1"}),
            )
            field.conditional = True  # type: ignore[attr-defined]  # nothing typed is 0: no "(facoltativo)" beside it
            self.fields[f"extra_{name}_{plan.code}"] = field

    # --- What the screen shows ----------------------------------------------------------------------------------------

    def cards(self) -> list[PlanCard]:
        return [self._card(plan, chosen=str(self["plan"].value() or "")) for plan in self.plans.values()]

    def _card(self, plan: Plan, *, chosen: str) -> PlanCard:
        defaults = self.extras(plan)
        mailbox_gb, archive_gb = plan.base_mailbox_gb + defaults[0], plan.base_archive_gb + defaults[1]
        reason = self.impossible(plan)
        return PlanCard(
            plan=plan,
            price=self.prices.plans.get(plan.code),
            space=words.space(plan.base_mailbox_gb, plan.base_archive_gb),
            difference=self.difference(plan, mailbox_gb, archive_gb),
            reason=reason,
            checked=plan.code == chosen and not reason,
            extra_mailbox=self._gb("mailbox", plan, plan.base_mailbox_gb, plan.max_mailbox_gb, Price.Item.MAILBOX_GB),
            extra_archive=self._gb("archive", plan, plan.base_archive_gb, plan.max_archive_gb, Price.Item.ARCHIVE_GB),
        )

    def _gb(self, name: str, plan: Plan, base: int, most: int, item: str) -> BoundField | None:
        """The GB field under a plan's card, with its limits and price; None where the plan sells none."""
        if most == base:
            return None
        field = self[f"extra_{name}_{plan.code}"]
        hint = _(
            "Già compresi: %(base)s GB. Al massimo %(most)s GB in tutto. Ogni GB in più: %(price)s + IVA all'anno."
        )
        field.help_text = hint % {"base": base, "most": most, "price": euro(self.prices.item(item))}
        return field

    def impossible(self, plan: Plan) -> str:
        """Why no amount of GB makes this plan possible today; empty when one does (R7, R9)."""
        if plan.code not in self.prices.plans:
            return words.no_price_of_plan()
        drops = self.box.archive_gb > 0 and not plan.has_archive
        result = boxes.fits(
            limits=limits(plan), mailbox_gb=plan.max_mailbox_gb, archive_gb=plan.max_archive_gb,
            mailbox_used=self.used.mailbox_bytes, archive_used=self.used.archive_bytes, drop_archive=drops,
        )  # fmt: skip
        if result.fit is boxes.Fit.TOO_FULL:
            return words.too_full(plan, result.free_mailbox_bytes, result.free_archive_bytes)
        largest = boxes.Capacity(plan.rank, plan.max_mailbox_gb, plan.max_archive_gb)
        if standing.space_order_open(self.box) and not largest.covers(self.box.capacity):
            return words.SPACE_ORDER % {"plan": plan}
        return ""

    def extras(self, plan: Plan) -> tuple[int, int]:
        """GB beyond the plan's own that are filled in at first."""
        return default_extras(self.box, plan)

    def difference(self, plan: Plan, mailbox_gb: int, archive_gb: int) -> str:
        return words.difference(self.box, plan, mailbox_gb, archive_gb)

    def problems_of(self, choice: flows.Choice) -> list[Problem]:
        return standing.problems(self.box, choice, self.used)

    def start(self) -> dict[str, object]:
        """What is chosen at first: the plan and GB of today, or of the change that waits; nothing is ticked (R11)."""
        held = self.plans.get((self.box.next_plan or self.box.plan).code)
        start: dict[str, object] = {"plan": held.code if held and not self.impossible(held) else ""}
        for plan in self.plans.values():
            start[f"extra_mailbox_{plan.code}"], start[f"extra_archive_{plan.code}"] = self.extras(plan)
        return start

    def answered(self, answers: Answers) -> dict[str, object] | None:
        """Earlier answers as this form would send them: what is wrong with them today shows beside its field."""
        plan = self.plans.get(answers.plan)
        if plan is None:
            return None
        ticks = {"archive_loss": "on"} if answers.archive_loss_accepted else {}
        extras = {
            f"extra_mailbox_{plan.code}": answers.mailbox_gb - plan.base_mailbox_gb,
            f"extra_archive_{plan.code}": answers.archive_gb - plan.base_archive_gb,
        }
        return {**self.start(), "plan": plan.code, **extras, **ticks}

    # --- What was typed -----------------------------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        plan = self.plans.get(data.get("plan", ""))
        chosen = {f"extra_mailbox_{plan.code}", f"extra_archive_{plan.code}"} if plan else set()
        for name in [name for name in self.errors if name.startswith("extra_") and name not in chosen]:
            del self.errors[name]  # what stands under a plan that was not chosen is not part of the choice
        if plan is not None and not chosen & set(self.errors):
            extra_mailbox, extra_archive = (data.get(f"extra_{s}_{plan.code}") or 0 for s in ("mailbox", "archive"))
            self.choice = flows.Choice(
                plan, plan.base_mailbox_gb + extra_mailbox, plan.base_archive_gb + extra_archive, data["archive_loss"]
            )
            self._check(self.choice)
        elif plan is not None and not plan.has_archive and f"extra_archive_{plan.code}" in self.errors:
            del self.errors[f"extra_archive_{plan.code}"]  # no such field on the screen: its card says it
            self.add_error("plan", words.problem(Problem(Code.ARCHIVE_NOT_IN_PLAN, "plan"), plan, self.used))
        return data

    def _check(self, choice: flows.Choice) -> None:
        self.problems = self.problems_of(choice)
        for found in self.problems:
            name = (
                found.field
                if found.field in self.fields
                else f"extra_{found.field.removesuffix('_gb')}_{choice.plan.code}"
            )
            sentence = words.problem(
                found, choice.plan, self.used, asked_mailbox_gb=choice.mailbox_gb, asked_archive_gb=choice.archive_gb
            )
            self.add_error(name, sentence)


def default_extras(box: Mailbox, plan: Plan) -> tuple[int, int]:
    """GB beyond the base that are filled in: what was bought already and still counts, never more (R6, R11)."""
    if box.next_plan is not None and box.next_mailbox_gb is not None and box.next_archive_gb is not None:
        held, mailbox_gb, archive_gb = box.next_plan, box.next_mailbox_gb, box.next_archive_gb
    else:
        held, mailbox_gb, archive_gb = box.plan, box.mailbox_gb, box.archive_gb

    def extra(total: int, held_base: int, base: int, most: int) -> int:
        bought = max(0, total - held_base)
        return min(bought, max(0, total - base), most - base)

    return (
        extra(mailbox_gb, held.base_mailbox_gb, plan.base_mailbox_gb, plan.max_mailbox_gb),
        extra(archive_gb, held.base_archive_gb, plan.base_archive_gb, plan.max_archive_gb),
    )


# --- Dati intestatario ------------------------------------------------------------------------------------------------

# Words by which a host says that it carries certified mail; and hosts of known providers that do not say it.
CERTIFIED_WORDS = {"pec", "cert", "pcert", "legalmail", "postacert", "postacertificata"}
CERTIFIED_HOSTS = {
    "legalmail.it", "postecert.it", "mypec.eu", "pecditta.com", "casellapec.com", "sicurezzapostale.it",
    "actaliscertymail.it", "pecimprese.it", "pecaruba.it", "messaggipec.it", "pec.cloud",
}  # fmt: skip


def looks_certified(email: str) -> bool:
    """Whether an address is likely another PEC: many refuse ordinary mail, so a warning is due (R12)."""
    host = email.rpartition("@")[2].lower()
    labels = host.split(".")[:-1]
    return host in CERTIFIED_HOSTS or any(label in CERTIFIED_WORDS or label.endswith("pec") for label in labels)


def order_email_field(help_text: "StrOrPromise" = "") -> forms.EmailField:
    """The e-mail of an order, which belongs to that order only (R12); to be cleaned with check_order_email."""
    return forms.EmailField(
        label=gettext_lazy("E-mail per questo ordine"),
        max_length=254,
        help_text=help_text,
        error_messages={
            "required": gettext_lazy("Scrivi l'e-mail a cui mandare la conferma dell'ordine."),
            "invalid": gettext_lazy("Scrivi un'e-mail completa, come nome@esempio.it."),
        },
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
    )


def check_order_email(typed: str) -> str:
    """Raises ValidationError on an address that ends with the box it is about, or that is a username (R12)."""
    email = refuse_username(typed.lower())
    if is_hosted(email):
        raise ValidationError(
            _(
                "Questa è una casella gestita da noi: se scadesse non leggeresti più la conferma. "
                "Scrivi un'e-mail di un altro fornitore."
            )
        )
    return email


def years_field() -> forms.TypedChoiceField:
    """Frequenza di rinnovo: 1 to 5."""
    return forms.TypedChoiceField(
        label=gettext_lazy("Frequenza di rinnovo"),
        choices=[(n, str(n)) for n in range(1, boxes.MAX_YEARS + 1)],
        coerce=int,
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(("required", "invalid_choice"), gettext_lazy("Scegli da 1 a 5 anni.")),
    )


def years_shown(form: forms.Form, otherwise: int) -> int:
    """The years that a page is about: those typed if they are possible."""
    typed = str(form["years"].value() or "")
    return int(typed) if typed in {str(n) for n in range(1, boxes.MAX_YEARS + 1)} else otherwise


class HolderForm(FiscalIdentityForm):
    """Dati intestatario of this order only: who the holder is stays, how to reach them may change (§4, R12)."""

    read_only = FiscalIdentityForm.IDENTITY
    email = order_email_field(
        gettext_lazy(
            "Qui arriva la conferma dell'ordine. Usa un'e-mail normale che leggi spesso: i contatti della casella "
            "restano come sono."
        )
    )

    class Meta(FiscalIdentityForm.Meta):
        model = Holder
        fields = ADDRESS

    field_order = ("email", *ADDRESS)

    def __init__(self, data: Any = None, *, box: Mailbox, **kwargs: Any) -> None:
        # A copy: a ModelForm writes what was typed into its instance, and the box's holder must stay as it is.
        super().__init__(data, instance=copy.copy(box.holder), **kwargs)
        self.fields["email"].initial = box.holder.contact_email

    def clean_email(self) -> str:
        return check_order_email(str(self.cleaned_data["email"]))

    def holder_data(self) -> dict[str, object]:
        """The FiscalIdentity fields as confirmed, for renewals.flows.place_renewal."""
        return {name: self.cleaned_data[name] for name in ADDRESS}


class ConfirmedHolderForm(HolderForm):
    """The second step as the third reads it again. That the e-mail is not hosted here the order asks."""

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"])
