"""What time did, day by day: the first page to open in the morning."""

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from lifecycle import rules
from lifecycle.models import LifecycleRun
from mailboxes.admin.base import ReadOnlyAdmin
from pecportal import clock


@admin.register(LifecycleRun)
class LifecycleRunAdmin(ReadOnlyAdmin):
    list_display = ("day", "stage", "state", "expected", "done", "failed", "still", "took", "finished_at")
    list_filter = ("stage",)
    ordering = ("-day", "stage")
    fields = (("stage", "day", "state"), ("expected", "done", "failed", "still"), ("claimed_at", "finished_at", "took"))

    @display(
        description=gettext_lazy("Stato"),
        label={"done": "success", "failed": "danger", "at_work": "info", "stopped": "warning"},
    )
    def state(self, run: LifecycleRun) -> tuple[str, str]:
        if run.finished_at is not None:
            return ("failed", _("Con errori")) if run.failed else ("done", _("Finito"))
        if run.claimed_at is not None and clock.now() - run.claimed_at < rules.STALE_AFTER:
            return "at_work", _("In corso")
        return "stopped", _("Interrotto")

    @display(description=gettext_lazy("Rimasti"))
    def still(self, run: LifecycleRun) -> int:
        return run.left

    @display(description=gettext_lazy("Secondi"))
    def took(self, run: LifecycleRun) -> str:
        return f"{run.seconds:.1f}".replace(".", ",")
