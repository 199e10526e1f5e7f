"""Pages of mailboxes: the recovery of a password, the holder's contact."""

from django.urls import path

from mailboxes import contact, recovery

app_name = "mailboxes"
BOX = "area-clienti/pec/<uuid:box_id>/"
PEC = {"section": "pec"}
urlpatterns = [
    path(BOX + "contatto/", contact.contact, name="contact", kwargs=PEC),
    path(BOX + "contatto/codice/", contact.contact_code, name="contact_code", kwargs=PEC),
    path("accesso/casella/recupero/", recovery.recovery, name="recovery"),
    path("accesso/casella/recupero/codice/", recovery.recovery_code, name="recovery_code"),
    path("accesso/casella/recupero/password/", recovery.recovery_password, name="recovery_password"),
]
