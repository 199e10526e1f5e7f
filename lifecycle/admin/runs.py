"""What time did, day by day: the first page to open in the morning."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from lifecycle import alarms, rules
from lifecycle.models import Alarm, LifecycleRun
from mailboxes.admin.base import ReadOnlyAdmin
from mailboxes.admin.shown import badge, shown
from pecportal import clock


@admin.register(LifecycleRun)
class LifecycleRunAdmin(ReadOnlyAdmin):
    list_display = ("on", "stage", "state", "expected", "done", "failed", "still", "took", "finished")
    list_filter = ("stage",)
    ordering = ("-day", "stage")
    fields = (("stage", "on"), ("state", "took"), ("expected", "done"), ("failed", "still"), ("claimed", "finished"))
    on = shown("day", gettext_lazy("Giorno"))
    claimed = shown("claimed_at", gettext_lazy("Presa in carico"))
    finished = shown("finished_at", gettext_lazy("Finita"))
    still = shown("left", gettext_lazy("Rimasti"))

    @display(description=gettext_lazy("Stato"))
    def state(self, run: LifecycleRun) -> SafeString:
        if run.at_rest:
            return badge("danger", _("Con errori")) if run.failed else badge("success", _("Finito"))
        if run.claimed_at is None and not run.seconds:
            return badge("danger", _("Non partito"))  # the clock seemed wrong
        if run.claimed_at is not None and clock.now() - run.claimed_at < rules.STALE_AFTER:
            return badge("info", _("In corso"))
        return badge("warning", _("Interrotto"))

    @display(description=gettext_lazy("Secondi"))
    def took(self, run: LifecycleRun) -> str:
        return f"{run.seconds:.1f}".replace(".", ",")


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """What is wrong now, and what was: an alarm clears itself when it is over."""

    list_display = ("what", "state", "detail", "since", "until")
    list_filter = (("cleared_at", admin.EmptyFieldListFilter),)
    fields = ("what", "to_do", "detail", ("since", "until"))
    since = shown("raised_at", gettext_lazy("Dal"))
    until = shown("cleared_at", gettext_lazy("Finito il"))

    @display(description=gettext_lazy("Che cosa"))
    def what(self, alarm: Alarm) -> str:
        return alarms.words(alarm)[0]

    @display(description=gettext_lazy("Che cosa fare"))
    def to_do(self, alarm: Alarm) -> str:
        return alarms.words(alarm)[1]

    @display(description=gettext_lazy("Stato"))
    def state(self, alarm: Alarm) -> SafeString:
        return badge("success", _("Finito")) if alarm.cleared_at else badge("danger", _("Acceso"))
