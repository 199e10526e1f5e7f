"""Every address of the product, room by room."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from pecportal import ops

urlpatterns = [
    path("healthz", ops.healthz, name="healthz"),
    path("readyz", ops.readyz, name="readyz"),
    path("metrics", ops.metrics, name="metrics"),
    path("", include("accounts.allauth_urls")),
    path("", include("accounts.urls")),
    path("", include("mailboxes.urls")),
    path("", include("pecportal.area.urls")),
    path("", include("renewals.urls")),
    path("", include("payments.urls")),
    path("admin/", admin.site.urls),
    path("lingua/", set_language, name="set_language"),
]
