from django.urls import path

from payments import confirm, views

app_name = "payments"
ORDER = "area-clienti/ordini/<str:number>/"
BOX = "area-clienti/pec/<uuid:box_id>/"
PEC = {"section": "pec"}
PAY = {"section": "pagamenti"}
urlpatterns = [
    path(BOX + "rinnova/pagamento/", confirm.confirm, name="confirm", kwargs=PEC),
    path(BOX + "rinnova/pagamento/riepilogo/", confirm.confirm_summary, name="confirm_summary", kwargs=PEC),
    path(BOX + "rinnovo-automatico/", views.auto_renewal, name="auto_renewal", kwargs=PEC),
    path(BOX + "rinnovo-automatico/disattiva/", views.auto_renewal_off, name="auto_renewal_off", kwargs=PEC),
    path(ORDER, views.order, name="order", kwargs=PAY),
    path(ORDER + "esito/", views.outcome, name="outcome", kwargs=PAY),
    path(ORDER + "paga/", views.pay, name="pay", kwargs=PAY),
    path(ORDER + "bonifico/", views.transfer, name="transfer", kwargs=PAY),
    path(ORDER + "annulla/", views.cancel, name="cancel", kwargs=PAY),
    path("pagamenti/<uuid:payment_id>/ritorno/", views.come_back, name="return", kwargs=PAY),
    path("pagamenti/<uuid:payment_id>/carta/", views.card, name="card", kwargs=PAY),
    path("area-clienti/metodi-di-pagamento/carta/<uuid:setup_id>/", views.card_setup, name="card_setup", kwargs=PAY),
    path("sandbox/<str:remote_id>/", views.sandbox, name="sandbox"),
    path("webhook/<str:provider>/", views.webhook, name="webhook"),
]
