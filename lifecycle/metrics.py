"""What /metrics says about time: figures as of the last run, runs, alarms. Three small queries, whatever there is.

A registry of its own: the one of the process is not what answers when several processes collect their metrics.
"""

import logging
from collections.abc import Iterable

from django.db import DatabaseError
from django.db.models import Max
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from lifecycle import figures
from lifecycle.models import Alarm, Figure, LifecycleRun
from pecportal import clock

log = logging.getLogger(__name__)
SINGLE = {
    figures.DUE: "What today's stages found due, as of the last run.",
    figures.OVERDUE: "Boxes past their expiry that no sweep has recorded, as of the last run.",
    figures.NOTICES_UNSENT: "Notices of an expiry that are due and not sent, as of the last run.",
    figures.LETTERS_WAITING: "Letters that the relay has not accepted yet, as of the last run.",
    figures.DELETIONS_HELD: "Boxes due for deletion that something holds, as of the last run.",
    figures.DELETIONS_STOPPED: "Boxes that the cap keeps from deletion, as of the last run.",
}


class LifecycleCollector:
    """Reads three small tables at each scrape. A database that is away leaves `pecportal_lifecycle_readable` 0."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            families = [*_figures(), *_runs(), _alarms()]
        except DatabaseError as error:
            log.error("metrics: the lifecycle could not be read: %s", type(error).__name__)
            families = []
        readable = GaugeMetricFamily("pecportal_lifecycle_readable", "Whether the database answered this scrape.")
        readable.add_metric([], int(bool(families)))
        return [readable, *families]


def page() -> bytes:
    """The families of the lifecycle, in Prometheus's format."""
    registry = CollectorRegistry()
    registry.register(LifecycleCollector())
    return generate_latest(registry)


def _figures() -> Iterable[GaugeMetricFamily]:
    values = dict(Figure.objects.filter(name__in=figures.NAMES).values_list("name", "value"))
    boxes = GaugeMetricFamily("pecportal_boxes", "Boxes by the state shown, as of the last run.", labels=["state"])
    for state in figures.STATES:
        if (value := values.get(figures.BOXES + state)) is not None:
            boxes.add_metric([state], value)
    yield boxes
    for name, words in SINGLE.items():
        if name in values:
            yield GaugeMetricFamily(f"pecportal_{name}", words, value=values[name])


def _runs() -> Iterable[GaugeMetricFamily]:
    """Age of the last finished run of each stage: the alarm of those who watch from outside, when no worker lives."""
    age = GaugeMetricFamily(
        "pecportal_lifecycle_age_seconds", "Seconds since a run of this stage was finished.", labels=["stage"]
    )
    finished = LifecycleRun.objects.exclude(finished_at=None).values_list("stage").annotate(at=Max("finished_at"))
    for stage, at in finished.order_by("stage"):
        age.add_metric([stage], (clock.now() - at).total_seconds())
    yield age


def _alarms() -> GaugeMetricFamily:
    family = GaugeMetricFamily("pecportal_alarms_open", "Alarms that are on.", labels=["alarm"])
    for key in Alarm.objects.filter(cleared_at=None).order_by("key").values_list("key", flat=True):
        family.add_metric([key], 1)
    return family
