from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class LifecycleConfig(AppConfig):
    name = "lifecycle"
    verbose_name = gettext_lazy("Scadenze")

    def ready(self) -> None:
        from lifecycle import queue
        from pecportal import relay

        relay.before_batch.connect(queue.take_back, dispatch_uid="letters")
        relay.after_run.connect(queue.read, dispatch_uid="letters")
