"""Webhook intake: gunicorn with two workers on PostgreSQL and Redis, signed events that are all different.

The load is a process of its own: python tests/bench/webhooks.py PORT EVENTS SECONDS, which prints its numbers as JSON.
Nobody works the events off meanwhile: what is measured is to check, store, publish and answer.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

try:
    from tests.bench.figures import Figure, at_least, at_most
except ImportError:  # started as the load's own process, which returns no figures
    pass

ROOT = Path(__file__).resolve().parent.parent.parent
EVENTS, SECONDS, CONNECTIONS, WARM_UP = 6000, 40, 6, 200
LEAST_A_SECOND, SLOWEST_P95 = 200, 50  # requests, milliseconds


def run() -> list[Figure]:
    """The figures; what was stored is counted in the database."""
    from payments.models import ProviderEvent

    print(f"  {os.cpu_count()} processors, load before {os.getloadavg()[0]:.1f}, {CONNECTIONS} connections", flush=True)
    before = ProviderEvent.objects.count()
    with gunicorn() as (port, server):
        load([str(port), str(WARM_UP), "20"])
        spent = _processor_seconds(server.pid)
        found = load([str(port), str(EVENTS), str(SECONDS)])
        spent = _processor_seconds(server.pid) - spent
    stored = ProviderEvent.objects.count() - before - WARM_UP
    answered, errors = int(found["answered"]), int(found["errors"])
    return [
        Figure("webhooks: answered", str(answered), "-", answered > 0),
        Figure("webhooks: not answered 200", str(errors), "0", errors == 0),
        Figure("webhooks: stored", str(stored), str(answered), stored == answered),
        at_least("webhooks: intake, 2 workers", found["a_second"], LEAST_A_SECOND, "req/s"),
        Figure("webhooks: p50", f"{found['p50']:.1f} ms", "-", True),
        at_most("webhooks: p95", found["p95"], SLOWEST_P95, "ms"),
        Figure("webhooks: processor time of one", f"{1000 * spent / answered:.1f} ms", "-", True),
    ]


def _processor_seconds(master: int) -> float:
    """What gunicorn's workers have used of the processors so far: the figure that other load does not change."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split() for pid in children]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def load(arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout)


@contextmanager
def gunicorn():
    """Two workers on a free port; yields the port and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "WEB_PROCESSES": "2", "WEB_THREADS": "4", "PORT": str(port), "DATABASE_POOL": "5",
        "LOG_LEVEL": "WARNING", "PAYMENT_PROVIDERS": "sandbox,transfer",
    }  # fmt: skip
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "pecportal.wsgi", "--log-level", "warning"],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(port, server, log)
            yield port, server
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(port: int, server: subprocess.Popen, log) -> None:
    for _try in range(300):
        if server.poll() is not None:
            log.seek(0)
            raise SystemExit(f"gunicorn ended with code {server.returncode}:\n{log.read().decode()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("gunicorn did not answer within a minute")


def send(port: int, events: list[tuple[bytes, str]], until: float, told: list[tuple[float, int]]) -> None:
    """One connection that posts its events one after the other; adds (seconds, status) of each to `told`."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for body, signature in events:
        begun = time.perf_counter()
        if time.monotonic() > until:
            break
        try:
            headers = {"Content-Type": "application/json", "X-Sandbox-Signature": signature}
            link.request("POST", "/webhook/sandbox/", body, headers)
            answer = link.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            link.close()
            status = 0
        told.append((time.perf_counter() - begun, status))
    link.close()


def main(port: int, count: int, seconds: float) -> None:
    import secrets

    import django

    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")
    django.setup()
    from payments.providers.sandbox import sandbox_event

    events = [sandbox_event(f"sbx_{secrets.token_hex(16)}") for _n in range(count)]
    told: list[list[tuple[float, int]]] = [[] for _n in range(CONNECTIONS)]
    begun = time.perf_counter()
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=send, args=(port, events[n::CONNECTIONS], until, told[n])) for n in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    answers = [answer for one in told for answer in one]
    times = sorted(1000 * seconds for seconds, status in answers)
    print(
        json.dumps(
            {
                "answered": len(answers),
                "errors": sum(status != 200 for _seconds, status in answers),
                "a_second": len(answers) / took,
                "p50": times[len(times) // 2],
                "p95": times[int(len(times) * 0.95)],
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
