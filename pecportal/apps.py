from django.apps import AppConfig


class PecportalConfig(AppConfig):
    name = "pecportal"
    label = "pecportal"

    def ready(self) -> None:
        from pecportal import checks  # noqa: F401
