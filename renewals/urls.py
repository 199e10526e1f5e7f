from django.urls import path

from renewals import domain_views, views
from renewals.purchase_road import PURCHASE

app_name = "renewals"
PEC = {"section": "pec"}
BUY = {"section": "pec", "road": PURCHASE}
DOMAINS = {"section": "domini"}
DOMAIN = "area-clienti/domini/<uuid:domain_id>/rinnova/"
urlpatterns = [
    path("area-clienti/pec/<uuid:box_id>/rinnova/", views.plan, name="plan", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/riepilogo/", views.summary, name="summary", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/intestatario/", views.holder, name="holder", kwargs=PEC),
    path(DOMAIN, domain_views.lines, name="domain_lines", kwargs=DOMAINS),
    path(DOMAIN + "riepilogo/", domain_views.summary, name="domain_summary", kwargs=DOMAINS),
    path(DOMAIN + "intestatario/", domain_views.holder, name="domain_holder", kwargs=DOMAINS),
    path("area-clienti/pec/<uuid:box_id>/acquista/", views.plan, name="buy_plan", kwargs=BUY),
    path("area-clienti/pec/<uuid:box_id>/acquista/riepilogo/", views.summary, name="buy_summary", kwargs=BUY),
    path("area-clienti/pec/<uuid:box_id>/acquista/intestatario/", views.holder, name="buy_holder", kwargs=BUY),
    path("condizioni/", views.terms, name="terms"),
    path("condizioni/<slug:version>/", views.terms, name="terms_version"),
]
