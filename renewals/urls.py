from django.urls import path

from renewals import views

app_name = "renewals"
PEC = {"section": "pec"}
urlpatterns = [
    path("area-clienti/pec/<uuid:box_id>/rinnova/", views.plan, name="plan", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/riepilogo/", views.summary, name="summary", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/intestatario/", views.holder, name="holder", kwargs=PEC),
    path("condizioni/", views.terms, name="terms"),
    path("condizioni/<slug:version>/", views.terms, name="terms_version"),
]
