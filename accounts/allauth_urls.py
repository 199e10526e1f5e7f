"""The pages of django-allauth that this product has, under its own names for them. No sign-up."""

from allauth.account import views as allauth_views
from django.urls import path, re_path

from accounts.views import access, profile

urlpatterns = [
    path("accesso/", access.LoginView.as_view(), name="account_login"),
    path("accesso/esci/", access.LogoutView.as_view(), name="account_logout"),
    path(
        "accesso/password/",
        profile.PasswordChangeView.as_view(),
        {"section": "dati"},
        name="account_change_password",
    ),
    path("accesso/password/dimenticata/", access.PasswordResetView.as_view(), name="account_reset_password"),
    path(
        "accesso/password/dimenticata/inviato/",
        allauth_views.PasswordResetDoneView.as_view(),
        name="account_reset_password_done",
    ),
    re_path(
        r"^accesso/password/nuova/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        access.PasswordResetFromKeyView.as_view(),
        name="account_reset_password_from_key",
    ),
    path(
        "accesso/password/nuova/fatto/",
        allauth_views.PasswordResetFromKeyDoneView.as_view(),
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^accesso/email/(?P<key>[-:\w]+)/$", allauth_views.ConfirmEmailView.as_view(), name="account_confirm_email"
    ),
    path("area-clienti/dati/email/", profile.email, {"section": "dati"}, name="account_email"),
]
