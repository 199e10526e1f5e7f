"""Which addresses are read by somebody when a box is not (R27, R29)."""

from collections.abc import Iterable

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from mailboxes.flows import contacts
from mailboxes.models import Address, Domain, Mailbox


def readable(boxes: Iterable[Mailbox]) -> dict[int, list[str]]:
    """Of each box (by id): its holder's and its account's address, once each, in small letters. One query.

    Left out: addresses on a domain that is certified here or beside the box, which may be closed together with it; and
    what is no address at all. An empty list: there is nobody to write to.
    """
    found = {box.pk: (box, [_host(a) for a in contacts(box)]) for box in boxes}
    hosts = {host for _box, hosts in found.values() for host in hosts} - set(settings.PEC_DOMAINS)
    addresses = Address.objects.filter(host__in=hosts).values_list("host")
    here = addresses.union(Domain.objects.filter(mail_host__in=hosts).values_list("mail_host"))
    hosted = {*settings.PEC_DOMAINS, *(host for (host,) in here)}
    return {
        pk: list(
            dict.fromkeys(
                a.strip().lower()
                for a in contacts(box)
                if _host(a) not in hosted and _host(a) != box.address.host and _is_address(a)
            )
        )
        for pk, (box, _hosts) in found.items()
    }


def _host(address: str) -> str:
    return address.strip().lower().rpartition("@")[2]


def _is_address(text: str) -> bool:
    try:
        validate_email(text.strip())
    except ValidationError:
        return False
    return True
