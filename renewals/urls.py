from django.urls import path

from renewals import views

app_name = "renewals"
urlpatterns = [
    path("area-clienti/pec/<uuid:box_id>/rinnova/", views.plan, name="plan", kwargs={"section": "pec"}),
    path("area-clienti/pec/<uuid:box_id>/rinnova/riepilogo/", views.summary, name="summary", kwargs={"section": "pec"}),
    path("area-clienti/pec/<uuid:box_id>/rinnova/intestatario/", views.holder, name="holder", kwargs={"section": "pec"}),
    path("condizioni/", views.terms, name="terms"),
    path("condizioni/<slug:version>/", views.terms, name="terms_version"),
]
