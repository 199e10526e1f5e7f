from django.urls import path

from renewals import domain_views, views

app_name = "renewals"
PEC = {"section": "pec"}
DOMAINS = {"section": "domini"}
DOMAIN = "area-clienti/domini/<uuid:domain_id>/rinnova/"
urlpatterns = [
    path("area-clienti/pec/<uuid:box_id>/rinnova/", views.plan, name="plan", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/riepilogo/", views.summary, name="summary", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/intestatario/", views.holder, name="holder", kwargs=PEC),
    path(DOMAIN, domain_views.lines, name="domain_lines", kwargs=DOMAINS),
    path(DOMAIN + "riepilogo/", domain_views.summary, name="domain_summary", kwargs=DOMAINS),
    path(DOMAIN + "intestatario/", domain_views.holder, name="domain_holder", kwargs=DOMAINS),
    path("condizioni/", views.terms, name="terms"),
    path("condizioni/<slug:version>/", views.terms, name="terms_version"),
]
