"""What machines ask: does the process answer, is everything behind it there, how is it going."""

import asyncio
import dataclasses
import ipaddress

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable
from health_check.views import HealthCheckView

from lifecycle import metrics as lifecycle


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. It asks nothing behind it: a database that is away is no reason to restart the web."""
    return HttpResponse("ok\n", content_type="text/plain")


@dataclasses.dataclass
class Migrations(HealthCheck):
    """Every migration of this code is applied. Ones the code does not know are fine: an older version still serves."""

    def run(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        with connection.temporary_connection():
            executor = MigrationExecutor(connection)
            waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if waiting:
            raise ServiceUnavailable(f"{len(waiting)} migrations wait")


class ReadyView(HealthCheckView):
    """Database, cache and migrations: 200 when requests can be served, else 503. It says which, never why: the why,
    which may name hosts, is in the log."""

    http_method_names = ["get", "head"]
    checks = ("health_check.checks.Database", "health_check.checks.Cache", Migrations)

    async def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        results = await asyncio.gather(*(check.get_result() for check in self.get_checks()))
        answer = {result.check.labels["check"].lower(): "failed" if result.error else "ok" for result in results}
        return JsonResponse(answer, status=503 if any(result.error for result in results) else 200)


readyz = ReadyView.as_view()


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus's page, for who knows METRICS_TOKEN (`Authorization: Bearer …`).

    Without a token: in development for this machine only; in production for nobody, since behind a proxy everybody
    seems to be this machine. Who may not see it is told that there is nothing.
    """
    if settings.METRICS_TOKEN:
        allowed = constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}")
    else:
        allowed = not settings.PRODUCTION and is_this_machine(request.META.get("REMOTE_ADDR", ""))
    if not allowed:
        return HttpResponseNotFound("not found\n", content_type="text/plain")
    answer = ExportToDjangoView(request)
    answer.content += lifecycle.page()
    return answer


def is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
