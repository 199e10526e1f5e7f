"""kill -9 of a real worker at every point of the road, on PostgreSQL and Redis (R15, R19; DESIGN §7).

Each order is at another point when the worker is killed: before the call to the provider, while the provider has taken
the money and has not answered, after its answer, before the commit, after it, in fulfilment. Another worker is started,
Redis gives it what the first had not finished, beat's sweeps run: nothing is lost, nothing is doubled.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection, transaction
from kombu import Connection

from payments import flows, refunds, tasks
from payments.models import Case, Payment, ProviderEvent, Refund, StoredMethod
from payments.providers import PROVIDERS
from pecportal import clock
from pecportal.celery import app
from renewals.models import Order
from tests.helpers import place, years_later
from tests.payments.worker_app import Loopback

pytestmark = [
    pytest.mark.servers,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a worker that is killed needs PostgreSQL"),
]

ROOT = Path(__file__).resolve().parents[2]
CALL = ["before the call", "at the provider", "after the call", "before the commit"]
ROAD = [*CALL, "after the commit", "in fulfilment", "before fulfilment is committed"]
SECONDS = 180  # that a worker has to reach its points, or to finish


class Peer:
    """The provider: real HTTP, counts what it took and gave back, and holds whoever is to be killed."""

    def __init__(self) -> None:
        self.stops: dict[str, str] = {}  # order → the point at which it is held
        self.held: set[tuple[str, str]] = set()
        self.agreed: set[str] = set()  # keys the customer agreed to
        self.taken: dict[str, dict[str, str]] = {}  # key → order and amount
        self.given_back: dict[str, dict[str, str]] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.over = threading.Event()

    def answer(self, path: str, body: dict[str, str]) -> dict[str, object]:
        order = body.get("order", "")
        self.calls[path, order] += 1
        if path == "/at":
            self.hold(order, body["point"])
        elif path == "/look":
            return {"agreed": body["key"] in self.agreed, **self.taken.get(body["key"], {})}
        elif path in ("/take", "/refund"):
            kept = (self.taken if path == "/take" else self.given_back).setdefault(body["key"], body)
            self.hold(order, "at the provider")
            return dict(kept)
        elif path == "/refunded":
            return dict(self.given_back.get(body["key"], {}))
        return {}

    def hold(self, order: str, point: str) -> None:
        if self.stops.get(order) == point:
            self.held.add((order, point))
            self.over.wait()  # the connection is closed by the kill, and nobody reads this answer


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(made.answer(self.path, body)).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # killed meanwhile

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    made.over.set()
    server.shutdown()
    server.server_close()


class Worker:
    """A Celery worker with processes of its own, all of them in one group."""

    def __init__(self, *, peer_url: str, broker: str, processes: int, folder: Path, visibility: int) -> None:
        url = urlsplit(os.environ["DATABASE_URL"])
        environment = {
            **os.environ,
            "DATABASE_URL": url._replace(path="/" + connection.settings_dict["NAME"]).geturl(),
            "BROKER_URL": broker,
            "BROKER_VISIBILITY_TIMEOUT": str(visibility),
            "VAR_DIR": str(folder),
            "PEER_URL": peer_url,
            # by its folder: a package that is installed may be called "tests" too
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'payments'}",
        }
        self.log = (folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "worker_app", "worker", "-l", "WARNING",
                "-c", str(processes), "--prefetch-multiplier", "1", "--without-gossip", "--without-mingle",
                "--without-heartbeat",
            ],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to all its processes at once: what a power cut leaves."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(timeout=60)
        self.log.close()


@pytest.fixture
def broker() -> Iterator[str]:
    """A Redis database for this queue alone."""
    url = urlsplit(os.environ["BROKER_URL"])._replace(path="/15").geturl()
    redis.Redis.from_url(url).flushdb()
    yield url
    redis.Redis.from_url(url).flushdb()


@pytest.fixture
def workers(peer, broker, tmp_path, monkeypatch) -> Iterator:
    monkeypatch.setitem(PROVIDERS, "loopback", Loopback)
    monkeypatch.setenv("PEER_URL", peer.url)
    started: list[Worker] = []

    def start(processes: int) -> Worker:
        """The first keeps what it took until it is killed, however slow it is; the next finds that lost after 5 s."""
        visibility = 5 if started else 3600
        facts = {"peer_url": peer.url, "broker": broker, "processes": processes, "folder": tmp_path}
        started.append(Worker(**facts, visibility=visibility))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()


def until(true, what: str, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert b"Unable to load" not in log.read_bytes(), log.read_text()
        told = log.read_text()[-3000:] if time.monotonic() > end else ""
        assert time.monotonic() <= end, f"{what}: not within {SECONDS} s\n{told}"
        time.sleep(0.1)


def publish(broker: str, name: str, *args: object) -> None:
    with Connection(broker) as link:
        app.send_task(name, args=args, connection=link)


def drained(broker: str) -> bool:
    queue = redis.Redis.from_url(broker)
    return queue.llen("celery") == 0 and queue.hlen("unacked") == 0


def beat_until_nothing_is_open(broker: str, log: Path) -> None:
    """Beat's sweeps, with the data moved and not the clock, until all is final and the queue is empty."""

    def final() -> bool:
        now = clock.now()
        Payment.objects.live().update(next_check_at=now)
        Refund.objects.filter(status__in=Refund.LIVE).update(next_check_at=now)
        done = not (
            Payment.objects.live().exists()
            or Refund.objects.filter(status__in=Refund.LIVE).exists()
            or Order.objects.filter(status="paid").exists()
            or ProviderEvent.objects.filter(processed_at=None).exists()
        )
        if done and drained(broker):
            return True
        if not done:
            for sweep in (tasks.sync_due, tasks.fulfil_due, tasks.send_refunds, tasks.work_off_left_over):
                publish(broker, sweep.name)
            time.sleep(0.9)
        return False

    until(final, "sweeps", log)


def test_a_worker_killed_at_every_point_of_the_road(make_box, alice, peer, broker, workers, tmp_path):
    method = StoredMethod.objects.create(login=alice, provider="loopback", remote_id="card", label="Carta")
    log, before = tmp_path / "worker.log", {}
    orders: dict[tuple[str, str], Order] = {}
    for road in ("charge", "webhook"):
        for n, point in enumerate(ROAD):
            box = make_box(alice, f"{road}-{n}")
            before[box.pk] = box.expires_on
            orders[road, point] = place(box, alice)
            peer.stops[str(orders[road, point].pk)] = point
    for (road, _point), order in orders.items():
        if road == "charge":
            publish(broker, "tests.charge", order.pk, method.pk)
            continue
        flows.start(
            order_id=order.pk, provider="loopback", user=alice, auto_renewal_agreed=False, return_url=lambda p: "/",
            cancel_url="/",
        )  # fmt: skip
        attempt = order.payments.get()
        peer.agreed.add(attempt.public_id.hex)
        event = ProviderEvent.objects.create(provider="loopback", event_id=order.number, remote_id=attempt.remote_id)
        publish(broker, tasks.work_off_event.name, event.pk)

    first = workers(processes=len(orders))
    until(lambda: len(peer.held) == len(orders), f"the points, {len(peer.held)} reached", log)
    assert peer.held == {(str(order.pk), point) for (_road, point), order in orders.items()}
    fulfilled = {order.status for order in Order.objects.all()}
    assert fulfilled == {"awaiting_payment", "paid"}  # each stands where it was held, none is through
    first.kill()
    peer.stops.clear()
    assert redis.Redis.from_url(broker).hlen("unacked") == len(orders)  # taken, not finished

    workers(processes=4)
    beat_until_nothing_is_open(broker, log)
    never_asked = orders["charge", "before the call"]  # no money moved: the job of the next day charges it
    if not never_asked.payments.filter(status="registered").exists():
        publish(broker, "tests.charge", never_asked.pk, method.pk)
        until(lambda: Order.objects.get(pk=never_asked.pk).status == "fulfilled", "the next charge", log)
        beat_until_nothing_is_open(broker, log)

    charges = Counter(body["order"] for body in peer.taken.values())
    for (road, point), order in orders.items():
        order.refresh_from_db()
        box = order.lines.get().mailbox
        one_year_more = years_later(before[box.pk])
        got = (order.status, charges[str(order.pk)], order.allocations.count(), box.periods.count(), box.expires_on)
        assert got == ("fulfilled", 1, 1, 2, one_year_more), (road, point)
        assert [p.amount for p in order.payments.filter(status="registered")] == [order.amount_due], (road, point)
    assert not Case.objects.exists()


def test_a_worker_killed_while_it_gives_money_back(make_box, alice, peer, broker, workers, tmp_path):
    log, orders = tmp_path / "worker.log", {}
    for n, point in enumerate(CALL):
        order = place(make_box(alice, f"indietro-{n}"), alice)
        flows.start(
            order_id=order.pk, provider="loopback", user=alice, auto_renewal_agreed=False, return_url=lambda p: "/",
            cancel_url="/",
        )  # fmt: skip
        payment = order.payments.get()
        peer.agreed.add(payment.public_id.hex)
        assert flows.fetch_and_record(payment.pk).status == "registered"
        with transaction.atomic():
            locked = Payment.objects.locked().get(pk=payment.pk)
            refunds.ask(payment=locked, amount=locked.amount, actor=None, why="recesso", order=order)
        peer.stops[str(order.pk)] = point
        orders[point] = order
    for _order in orders:
        publish(broker, tasks.send_refunds.name)

    first = workers(processes=len(orders))
    until(lambda: len(peer.held) == len(orders), f"the points, {len(peer.held)} reached", log)
    assert set(Refund.objects.values_list("status", flat=True)) == {"created"}  # whatever the provider has done
    first.kill()
    peer.stops.clear()

    workers(processes=4)
    beat_until_nothing_is_open(broker, log)
    given_back = Counter(body["order"] for body in peer.given_back.values())
    for point, order in orders.items():
        payment, refund = order.payments.get(), Refund.objects.get(order=order)
        got = (payment.status, refund.status, refund.amount, given_back[str(order.pk)])
        assert got == ("refunded", "done", order.amount_due, 1), point
    assert not Case.objects.exists()
