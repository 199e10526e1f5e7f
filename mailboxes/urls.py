"""Pages of mailboxes that need no sign-in."""

from django.urls import path

from mailboxes import recovery

app_name = "mailboxes"
urlpatterns = [
    path("accesso/casella/recupero/", recovery.recovery, name="recovery"),
    path("accesso/casella/recupero/codice/", recovery.recovery_code, name="recovery_code"),
    path("accesso/casella/recupero/password/", recovery.recovery_password, name="recovery_password"),
]
