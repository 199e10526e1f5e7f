"""*Avvisi* of the first screen: what must be read before going on (R7). Pure: no query, no clock."""

from dataclasses import dataclass
from datetime import date

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from mailboxes import rules as boxes
from mailboxes.flows import limits
from mailboxes.models import Mailbox
from mailboxes.platform.base import Usage
from pecportal.formats import dal, fino, gigabytes, il
from renewals import words
from renewals.flows import Choice
from renewals.rules import Code, Problem


@dataclass(frozen=True)
class Avviso:
    """A short block: heading, sentence, tone of partials/notice.html; `tick`: the archive's consent is here."""

    heading: str
    sentence: str
    tone: str = "info"
    tick: bool = False


def loses_archive(box: Mailbox, choice: Choice) -> bool:
    """The tick of R7 is asked: the box has an archive, the plan chosen has none."""
    return box.archive_gb > 0 and not choice.plan.has_archive


def avvisi(*, box: Mailbox, choice: Choice, problems: list[Problem], used: Usage, today: date) -> list[Avviso]:
    """What this choice does to this box, most serious first."""
    if box.expires_on is None:
        return []
    result = boxes.change(
        current=box.capacity,
        ordered=boxes.Capacity(limits(choice.plan).rank, choice.mailbox_gb, choice.archive_gb),
        old_expiry=box.expires_on,
        today=today,
        waiting=_waiting(box),
        waiting_on=box.change_on,
    )
    found: list[Avviso] = []
    if loses_archive(box, choice):
        found.append(_archive_goes(box, choice, used, result.change_on or today, today))
    found.extend(_room_needed(choice, problems, used))
    if result.later is not None and result.change_on is not None:
        found.append(_less_later(box, choice, result.later, result.change_on, today))
    if not box.capacity.covers(result.now):
        found.append(_more_now(result.now))
    if box.expires_on < today:
        found.append(_expired(box.expires_on))
    return found


def _waiting(box: Mailbox) -> boxes.Capacity | None:
    if box.next_plan is None or box.next_mailbox_gb is None or box.next_archive_gb is None:
        return None
    return boxes.Capacity(box.next_plan.rank, box.next_mailbox_gb, box.next_archive_gb)


def _archive_goes(box: Mailbox, choice: Choice, used: Usage, starts: date, today: date) -> Avviso:
    facts = {"plan": choice.plan, "used": gigabytes(used.archive_bytes), "day": capfirst(il(starts))}
    if starts <= today:
        sentence = _(
            "%(plan)s non ha archivio. Appena il pagamento è registrato, i messaggi dell'archivio (%(used)s GB) sono "
            "cancellati per sempre: prima di pagare, scarica quelli che ti servono."
        )
    else:
        sentence = _(
            "%(plan)s non ha archivio. %(day)s i messaggi dell'archivio (oggi %(used)s GB) sono cancellati per "
            "sempre: prima di quel giorno, scarica quelli che ti servono."
        )
    return Avviso(_("L'archivio sarà cancellato"), sentence % facts, tone="danger", tick=True)


def _room_needed(choice: Choice, problems: list[Problem], used: Usage) -> list[Avviso]:
    """GB proposed where what is used needs them, GB to delete where no plan space is enough."""
    told = {Code.NEEDS_MORE_MAILBOX, Code.NEEDS_MORE_ARCHIVE, Code.TOO_FULL}
    asked = {"asked_mailbox_gb": choice.mailbox_gb, "asked_archive_gb": choice.archive_gb}
    return [
        Avviso(_("I tuoi messaggi non ci stanno"), words.problem(problem, choice.plan, used, **asked), tone="warn")
        for problem in problems
        if problem.code in told
    ]


def _less_later(box: Mailbox, choice: Choice, later: boxes.Capacity, starts: date, today: date) -> Avviso:
    plan = choice.plan if later.rank == choice.plan.rank else (box.next_plan or box.plan)
    facts = {
        "plan": plan,
        "old": box.plan,
        "dal": capfirst(dal(starts)),
        "fino": capfirst(fino(box.expires_on)),
        "space": words.space(later.mailbox_gb, later.archive_gb),
        "before": words.space(box.mailbox_gb, box.archive_gb),
    }
    if starts <= today:
        heading = _("Avrai meno spazio appena il pagamento è registrato")
        sentence = _(
            "La casella è scaduta, perciò il cambio è immediato: da %(old)s (%(before)s) a %(plan)s (%(space)s)."
        )
    else:
        heading = _("%(dal)s avrai meno spazio")
        sentence = _("%(fino)s resta %(old)s: %(before)s, già pagati. %(dal)s passi a %(plan)s: %(space)s.")
    kept = _("Se i tuoi messaggi non ci stanno, lo spazio di prima resta e ti scriviamo: il rinnovo vale lo stesso.")
    return Avviso(heading % facts, f"{sentence % facts} {kept}", tone="warn")


def _more_now(now: boxes.Capacity) -> Avviso:
    sentence = _("Avrai %(space)s appena il pagamento è registrato, senza aspettare la scadenza.")
    return Avviso(_("Lo spazio in più è subito tuo"), sentence % {"space": words.space(now.mailbox_gb, now.archive_gb)})


def _expired(expires_on: date) -> Avviso:
    return Avviso(
        _("La casella è scaduta"),
        _(
            "Torna a inviare e ricevere appena il pagamento è registrato. Il rinnovo si conta dalla vecchia scadenza, "
            "%(day)s."
        )
        % {"day": il(expires_on)},
    )
