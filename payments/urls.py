from django.urls import path

from payments import confirm, domain_confirm, space, views
from renewals.purchase_road import PURCHASE

app_name = "payments"
ORDER = "area-clienti/ordini/<str:number>/"
BOX = "area-clienti/pec/<uuid:box_id>/"
PEC = {"section": "pec"}
BUY = {"section": "pec", "road": PURCHASE}
PAY = {"section": "pagamenti"}
INVOICE = "area-clienti/fatture/<uuid:invoice_id>/"
METHODS = "area-clienti/metodi-di-pagamento/"
urlpatterns = [
    path(BOX + "rinnova/pagamento/", confirm.confirm, name="confirm", kwargs=PEC),
    path(BOX + "rinnova/pagamento/riepilogo/", confirm.confirm_summary, name="confirm_summary", kwargs=PEC),
    path(
        "area-clienti/domini/<uuid:domain_id>/rinnova/pagamento/",
        domain_confirm.confirm,
        name="domain_confirm",
        kwargs={"section": "domini"},
    ),
    path(BOX + "acquista/pagamento/", confirm.confirm, name="buy_confirm", kwargs=BUY),
    path(BOX + "acquista/pagamento/riepilogo/", confirm.confirm_summary, name="buy_confirm_summary", kwargs=BUY),
    path(BOX + "spazio/", space.add, name="space", kwargs=PEC),
    path(BOX + "spazio/riepilogo/", space.summary, name="space_summary", kwargs=PEC),
    path(BOX + "rinnovo-automatico/", views.auto_renewal, name="auto_renewal", kwargs=PEC),
    path(BOX + "rinnovo-automatico/disattiva/", views.auto_renewal_off, name="auto_renewal_off", kwargs=PEC),
    path(BOX + "rinnovo-automatico/importo/", views.auto_renewal_agree, name="auto_renewal_agree", kwargs=PEC),
    path(METHODS, views.methods, name="methods", kwargs=PAY),
    path(METHODS + "aggiungi/", views.method_add, name="method_add", kwargs=PAY),
    path(METHODS + "salvato/<uuid:setup_id>/", views.method_return, name="method_return", kwargs=PAY),
    path(METHODS + "<uuid:method_id>/sostituisci/", views.method_add, name="method_replace", kwargs=PAY),
    path(METHODS + "<uuid:method_id>/predefinito/", views.method_default, name="method_default", kwargs=PAY),
    path(METHODS + "<uuid:method_id>/rimuovi/", views.method_remove, name="method_remove", kwargs=PAY),
    path(ORDER, views.order, name="order", kwargs=PAY),
    path(ORDER + "riepilogo.pdf", views.order_pdf, name="order_pdf", kwargs=PAY),
    path(ORDER + "esito/", views.outcome, name="outcome", kwargs=PAY),
    path(ORDER + "paga/", views.pay, name="pay", kwargs=PAY),
    path(ORDER + "bonifico/", views.transfer, name="transfer", kwargs=PAY),
    path(ORDER + "bonifico/istruzioni.pdf", views.transfer_pdf, name="transfer_pdf", kwargs=PAY),
    path(ORDER + "bollettino/", views.transfer, name="postal", kwargs={**PAY, "method": "postal"}),
    path(
        ORDER + "bollettino/istruzioni.pdf", views.transfer_pdf, name="postal_pdf", kwargs={**PAY, "method": "postal"}
    ),
    path(ORDER + "annulla/", views.cancel, name="cancel", kwargs=PAY),
    path(ORDER + "recesso/", views.withdraw, name="withdraw", kwargs=PAY),
    path(ORDER + "recesso/conferma/", views.withdraw_confirm, name="withdraw_confirm", kwargs=PAY),
    path(INVOICE + "copia.pdf", views.invoice_pdf, name="invoice_pdf", kwargs=PAY),
    path(INVOICE + "fattura.xml", views.invoice_xml, name="invoice_xml", kwargs=PAY),
    path("pagamenti/<uuid:payment_id>/ritorno/", views.come_back, name="return", kwargs=PAY),
    path("pagamenti/<uuid:payment_id>/carta/", views.card, name="card", kwargs=PAY),
    path(METHODS + "carta/<uuid:setup_id>/", views.card_setup, name="card_setup", kwargs=PAY),
    path("paga/", views.visitor_find, name="visitor_find"),
    path("paga/ordine/", views.visitor_pay, name="visitor_pay"),
    path("paga/esito/", views.visitor_outcome, name="visitor_outcome"),
    path("sandbox/<str:remote_id>/", views.sandbox, name="sandbox"),
    path("webhook/<str:provider>/", views.webhook, name="webhook"),
]
