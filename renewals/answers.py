"""The answers of a wizard so far, in the server session under user and box or domain: an abandoned wizard leaves no
order, and another login never meets them (R5)."""

from dataclasses import asdict, dataclass, field, fields
from typing import Self

from django.http import Http404, HttpRequest

from accounts.models import User
from mailboxes.models import Domain, Mailbox


class _Kept:
    """Answers as the session keeps them; what an older page left there that is no answer any more is dropped."""

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Self:
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass
class Answers(_Kept):
    """What the customer has answered so far. Total GB of both spaces; `holder` as typed on the second screen."""

    plan: str = ""
    mailbox_gb: int = 0
    archive_gb: int = 0
    archive_loss_accepted: bool = False
    holder: dict[str, str] = field(default_factory=dict)
    years: int = 1
    method: str = ""


@dataclass
class DomainAnswers(_Kept):
    """The same of a domain. Each is empty until its screen was answered."""

    years: int = 0
    email: str = ""


def _key(user: User, target: Mailbox | Domain) -> str:
    return f"rinnovo:{user.pk}:{target.public_id}"


def signed_in(request: HttpRequest) -> User:
    """The login of a request that passed login_required."""
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def load(request: HttpRequest, box: Mailbox) -> Answers:
    return Answers.from_dict(request.session.get(_key(signed_in(request), box), {}))


def load_domain(request: HttpRequest, domain: Domain) -> DomainAnswers:
    return DomainAnswers.from_dict(request.session.get(_key(signed_in(request), domain), {}))


def save(request: HttpRequest, target: Mailbox | Domain, answers: Answers | DomainAnswers) -> None:
    request.session[_key(signed_in(request), target)] = asdict(answers)


def drop(request: HttpRequest, target: Mailbox | Domain) -> None:
    """The order stands: going back begins anew."""
    request.session.pop(_key(signed_in(request), target), None)
