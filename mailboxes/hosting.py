"""Is an e-mail address one of ours? Such an address may never be the way to reach a customer (R3, R12, R29)."""

from collections.abc import Iterable

from django.conf import settings

from mailboxes.models import Address, Domain


def is_hosted(email: str) -> bool:
    """True when `email` lies on a certified domain of the provider or on a customer's domain hosted here."""
    host = email.rpartition("@")[2].strip().lower()
    if not host:
        return False
    if host in settings.PEC_DOMAINS:
        return True
    # One query; no slices, because SQLite takes no LIMIT inside a union (exists() limits the whole).
    names = Address.objects.filter(host=host).values_list("host")
    return names.union(Domain.objects.filter(mail_host=host).values_list("mail_host")).exists()


def hosted_among(emails: Iterable[str]) -> set[str]:
    """Those of many addresses that are hosted here, as they were given; one query."""
    hosts = {email: email.rpartition("@")[2].strip().lower() for email in emails}
    asked = set(hosts.values())
    names = Address.objects.filter(host__in=asked).values_list("host")
    found = names.union(Domain.objects.filter(mail_host__in=asked).values_list("mail_host"))
    ours = {*settings.PEC_DOMAINS, *(host for (host,) in found)}
    return {email for email, host in hosts.items() if host in ours}
