"""Counting what strangers may do only so often."""

import hashlib

from allauth.core.internal.ratelimit import get_ip
from django.core.cache import cache
from django.http import HttpRequest

from pecportal import clock


def allow(name: str, key: str, *, limit: int, seconds: int) -> bool:
    """Count one more `name` for `key`; False once there were more than `limit` in this window of `seconds`.

    `cache.incr` is atomic on the shared cache, so parallel requests cannot slip through between look and count.
    """
    window = int(clock.now().timestamp()) // seconds
    cache_key = f"limit:{name}:{hashlib.sha256(key.encode()).hexdigest()}:{window}"
    cache.add(cache_key, 0, seconds)
    try:
        return cache.incr(cache_key) <= limit
    except ValueError:  # the window ended between the two lines
        return True


def network(request: HttpRequest) -> str:
    """The visitor's IP address as limits count it: behind TRUSTED_PROXIES proxies; an IPv6 network as one."""
    return get_ip(request)
