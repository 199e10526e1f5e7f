"""Argon2id at a cost that a mail server can check on every IMAP login too."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class MailboxArgon2Hasher(Argon2PasswordHasher):
    """m = 19 MiB, t = 2, p = 1: the OWASP minimum for argon2id.

    The stored form is Django's, `argon2$argon2id$v=19$m=…`: without its leading `argon2` it is the standard string
    that mail servers verify.
    """

    memory_cost = 19456
    time_cost = 2
    parallelism = 1
