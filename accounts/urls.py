"""Pages of accounts; those that allauth finds by its own names are in `accounts.allauth_urls`."""

from django.urls import path

from accounts.views import access, profile

app_name = "accounts"
urlpatterns = [
    path("accesso/username/", access.username, name="username"),
    path("accesso/username/inviato/", access.username_sent, name="username_inviato"),
    path("accesso/attiva/<uidb64>/<token>/", access.ActivateView.as_view(), name="attiva"),
    path("area-clienti/dati/", profile.dati, {"section": "dati"}, name="dati"),
]
