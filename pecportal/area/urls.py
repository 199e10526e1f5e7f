"""Home, Gestisci, the page of one box, domains, orders and invoices: what the area shows."""

from django.urls import path

from pecportal.area import views

app_name = "area"
urlpatterns = [
    path("area-clienti/", views.start, name="home"),
    path("area-clienti/pec/", views.gestisci, name="gestisci", kwargs={"section": "pec"}),
    path("area-clienti/pec/<uuid:box_id>/", views.box, name="box", kwargs={"section": "pec"}),
    path("area-clienti/domini/", views.domain_list, name="domini", kwargs={"section": "domini"}),
    path("area-clienti/domini/<uuid:domain_id>/", views.domain, name="dominio", kwargs={"section": "domini"}),
    path("area-clienti/ordini/", views.order_list, name="ordini", kwargs={"section": "pagamenti"}),
    path("area-clienti/dati/scarica/", views.personal_data, name="personal_data", kwargs={"section": "dati"}),
    path("area-clienti/fatture/", views.invoice_list, name="fatture", kwargs={"section": "pagamenti"}),
]
