from django.urls import path

from renewals import views
from renewals.purchase_road import PURCHASE

app_name = "renewals"
PEC = {"section": "pec"}
BUY = {"section": "pec", "road": PURCHASE}
urlpatterns = [
    path("area-clienti/pec/<uuid:box_id>/rinnova/", views.plan, name="plan", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/riepilogo/", views.summary, name="summary", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/rinnova/intestatario/", views.holder, name="holder", kwargs=PEC),
    path("area-clienti/pec/<uuid:box_id>/acquista/", views.plan, name="buy_plan", kwargs=BUY),
    path("area-clienti/pec/<uuid:box_id>/acquista/riepilogo/", views.summary, name="buy_summary", kwargs=BUY),
    path("area-clienti/pec/<uuid:box_id>/acquista/intestatario/", views.holder, name="buy_holder", kwargs=BUY),
    path("condizioni/", views.terms, name="terms"),
    path("condizioni/<slug:version>/", views.terms, name="terms_version"),
]
