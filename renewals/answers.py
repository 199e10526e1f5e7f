"""The answers of a wizard so far, in the server session under user and box: an abandoned wizard leaves no order, and
another login never meets them (R5)."""

from dataclasses import asdict, dataclass, field, fields

from django.http import Http404, HttpRequest

from accounts.models import User
from mailboxes.models import Mailbox


@dataclass
class Answers:
    """What the customer has answered so far. Total GB of both spaces; `holder` as typed on the second screen."""

    plan: str = ""
    mailbox_gb: int = 0
    archive_gb: int = 0
    archive_loss_accepted: bool = False
    holder: dict[str, str] = field(default_factory=dict)
    years: int = 1
    method: str = ""

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> "Answers":
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})  # type: ignore[arg-type]


def _key(user: User, box: Mailbox) -> str:
    return f"rinnovo:{user.pk}:{box.public_id}"


def signed_in(request: HttpRequest) -> User:
    """The login of a request that passed login_required."""
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def load(request: HttpRequest, box: Mailbox) -> Answers:
    return Answers.from_dict(request.session.get(_key(signed_in(request), box), {}))


def save(request: HttpRequest, box: Mailbox, answers: Answers) -> None:
    request.session[_key(signed_in(request), box)] = asdict(answers)


def drop(request: HttpRequest, box: Mailbox) -> None:
    """The order stands: going back begins anew."""
    request.session.pop(_key(signed_in(request), box), None)
