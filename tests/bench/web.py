"""Pages under load: gunicorn with two workers on PostgreSQL with ROWS boxes (default 1,000,000), eight clients.

Gestisci (25 rows of an account of 200) beside a bare Django page that shows the same rows as a plain table; then whole
renewals by transfer, sign-in to outcome. Rounds of the two pages take turns; figures are medians of five. CPU is what
the server's and the database's processes used, which other load on the machine does not change much.

The load is a process of its own: python tests/bench/web.py PORT < JSON, which prints its numbers as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

CLIENTS, ROUNDS, A_ROUND, RENEWALS = 8, 5, 400, 64
AT_MOST = 2.0  # times the processor time of the bare page
ROOT = Path(__file__).resolve().parent.parent.parent


def run() -> list:
    from mailboxes.models import Mailbox
    from pecportal import clock
    from tests.bench import boxes
    from tests.bench.figures import Figure, at_most
    from tests.bench.webhooks import _wait

    if not Mailbox.objects.filter(owner__username=boxes.account(0)).exists():
        print(f"  making {boxes.ROWS:,} boxes …", flush=True)
        boxes.fill(rows=boxes.ROWS, today=clock.today())
    accounts = [boxes.account(n) for n in range(CLIENTS) if Mailbox.objects.filter(owner__username=boxes.account(n))]
    with server("pecportal.wsgi", _wait) as portal, server("bare:application", _wait) as bare:
        signed_in = [sign_in(portal[0], account, boxes.PASSWORD) for account in accounts]
        pages = {"Gestisci": (portal, "/area-clienti/pec/?scheda=altri"), "bare page": (bare, "/tabella/")}
        for (port, _server), path in pages.values():
            _load(port, {"cookies": signed_in, "path": path, "requests": 80})  # warm
        found: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for _round in range(ROUNDS):
            for name, ((port, process), path) in pages.items():
                spent = _spent(process.pid)
                told = _load(port, {"cookies": signed_in, "path": path, "requests": A_ROUND})
                told["cpu"] = 1000 * (_spent(process.pid) - spent) / A_ROUND
                found[name].append(told)
        ids = [
            [str(i) for i in Mailbox.objects.filter(owner__username=account, expires_on__gt=clock.today())
             .order_by("id").values_list("public_id", flat=True)[: RENEWALS // len(accounts)]]
            for account in accounts
        ]  # fmt: skip
        spent = _spent(portal[1].pid)
        renewals = _load(portal[0], {"accounts": accounts, "password": boxes.PASSWORD, "boxes": ids})
        renewals["cpu"] = 1000 * (_spent(portal[1].pid) - spent) / max(renewals["answered"], 1)
    middle = {name: {k: statistics.median(r[k] for r in rounds) for k in rounds[0]} for name, rounds in found.items()}
    figures = []
    for name, told in middle.items():
        figures += _figures(name, told, "req/s")
    figures += _figures("renewal", renewals, "renewals/s")
    times = middle["Gestisci"]["cpu"] / middle["bare page"]["cpu"]
    figures.append(at_most("web: Gestisci / bare page, CPU", times, AT_MOST, "×"))
    wrong = sum(r["errors"] for rounds in found.values() for r in rounds) + renewals["errors"]
    figures.append(Figure("web: wrong answers", f"{wrong:g}", "0", wrong == 0))
    orders = int(renewals["answered"])
    figures.append(
        Figure("web: renewals confirmed", str(orders), str(sum(map(len, ids))), orders == sum(map(len, ids)))
    )
    return figures


def _figures(name: str, told: dict[str, float], unit: str) -> list:
    from tests.bench.figures import Figure

    return [
        Figure(f"web: {name}", f"{told['a_second']:.1f} {unit}", "-", True),
        Figure(f"web: {name}, p50 / p95", f"{told['p50']:.0f} / {told['p95']:.0f} ms", "-", True),
        Figure(f"web: {name}, CPU of one", f"{told['cpu']:.1f} ms", "-", True),
    ]


@contextmanager
def server(application: str, wait):
    """gunicorn with two workers on a free port, as in production but for the scheme; yields port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "WEB_PROCESSES": "2", "WEB_THREADS": "4", "PORT": str(port), "DATABASE_POOL": "5",
        "LOG_LEVEL": "ERROR", "PYTHONPATH": str(Path(__file__).parent),
        "PAYMENT_PROVIDERS": "sandbox,transfer", "TRUSTED_PROXIES": "1",
        "DEBUG": "0", "STATICFILES_BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
    }  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", application, "--log-level", "warning"],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait(port, process, log)
            yield port, process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _spent(master: int) -> float:
    """Seconds of processor that a server's workers and the database's processes have used so far."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        postmaster = int(Path(cursor.fetchone()[0], "postmaster.pid").read_text().split()[0])
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) in (master, postmaster):
            ticks += int(fields[11]) + int(fields[12])
    ended = Path(f"/proc/{postmaster}/stat").read_text().rsplit(") ", 1)[1].split()
    return (ticks + int(ended[13]) + int(ended[14])) / os.sysconf("SC_CLK_TCK")


def _load(port: int, what: dict) -> dict[str, float]:
    command = [sys.executable, __file__, str(port)]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(what), text=True, capture_output=True, timeout=600)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout)


# --- The load's own process -------------------------------------------------------------------------------------------


class Browser:
    """One connection with its cookies. `address`: whom the proxy says that it is, for the limits of sign-in."""

    def __init__(self, port: int, address: str = "198.51.100.1") -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}
        self.address, self.port = address, port

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        headers = {"Host": "localhost", "X-Forwarded-For": self.address, "Accept-Language": "it"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers |= {
                "Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": self.cookies.get("csrftoken", ""),
            }  # fmt: skip
        self.link.request("POST" if form is not None else "GET", path, body, headers)
        answer = self.link.getresponse()
        content = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return answer.status, answer.headers.get("Location", ""), content


def sign_in(port: int, username: str, password: str, browser: Browser | None = None) -> dict[str, str]:
    """Sign in as a browser does; its cookies. Raises RuntimeError when it is refused."""
    browser = browser or Browser(port)
    browser.ask("/accesso/")
    status, where, _page = browser.ask("/accesso/", {"login": username, "password": password})
    if status != 302:
        raise RuntimeError(f"sign-in answered {status}")
    browser.ask(where)
    return browser.cookies


HOLDER = {
    "email": "ordine@posta.example", "address": "via Milano 2", "postal_code": "20121", "city": "Milano",
    "province": "MI", "country": "IT", "phone": "02 1234567",
}  # fmt: skip
CONFIRM = {"method": "transfer", "years": "1", "terms": "on", "shown_total": "12.08", "shown_years": "1"}


def renew(port: int, username: str, password: str, box: str, address: str) -> int:
    """One whole renewal by transfer, sign-in to outcome; the status of the last page, 0 when a step went elsewhere."""
    browser = Browser(port, address)
    sign_in(port, username, password, browser)
    at = f"/area-clienti/pec/{box}"
    if browser.ask("/area-clienti/pec/?scheda=altri")[0] != 200:
        return 0
    steps = [
        (f"{at}/rinnova/", {"plan": "standard", "extra_mailbox_standard": "0"}), ("", HOLDER), ("", CONFIRM),
    ]  # fmt: skip
    where = ""
    for path, form in steps:
        path = path or where
        if browser.ask(path)[0] != 200:
            return 0
        status, where, _page = browser.ask(path, form)
        if status != 302:
            return 0
    return browser.ask(where)[0]


def measure_load(port: int, what: dict) -> dict[str, float]:
    """Eight clients at once, each one request (or one renewal) after the other."""
    told: list[tuple[float, int]] = []

    def pages(cookies: dict[str, str], count: int) -> None:
        browser = Browser(port)
        browser.cookies = dict(cookies)
        for _n in range(count):
            begun = time.perf_counter()
            status, _where, page = browser.ask(what["path"])
            told.append((time.perf_counter() - begun, status if page.count(b"riga") >= 25 else 0))

    def renewals(n: int, account: str, boxes: list[str]) -> None:
        for m, box in enumerate(boxes):
            begun = time.perf_counter()
            status = renew(port, account, what["password"], box, f"198.51.{n}.{m}")
            told.append((time.perf_counter() - begun, status))

    if "path" in what:
        jobs = [(pages, (cookies, what["requests"] // CLIENTS)) for cookies in (what["cookies"] * CLIENTS)[:CLIENTS]]
    else:
        pairs = enumerate(zip(what["accounts"], what["boxes"], strict=True))
        jobs = [(renewals, (n, account, boxes)) for n, (account, boxes) in pairs]
    threads = [threading.Thread(target=job, args=arguments) for job, arguments in jobs]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    good = sorted(1000 * seconds for seconds, status in told if status == 200)
    return {
        "answered": len(good), "errors": len(told) - len(good), "a_second": len(good) / took,
        "p50": good[len(good) // 2] if good else 0, "p95": good[int(len(good) * 0.95)] if good else 0,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure_load(int(sys.argv[1]), json.load(sys.stdin))))
