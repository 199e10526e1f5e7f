"""What Gestisci is measured against: a bare Django that signs in by the same session and renders the same 25 rows as a
plain table with four queries. No forms, no states in words, no orders' actions, no second language.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

SKELETON = [  # what `django-admin startproject` has
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TABLE = """<!doctype html><html lang="it"><head><title>Caselle</title></head><body>
<p>{{ user.username }}: {{ total }}</p>
<table><tr><th>Casella<th>Titolare<th>Tipologia<th>GB<th>Stato<th>Scade il<th>Automatico</tr>
{% for box in boxes %}<tr><td>{{ box.address.name }}<td>{{ box.holder.last_name }} {{ box.holder.first_name }}
<td>{{ box.plan.name }}<td>{{ box.mailbox_gb }}<td>{{ box.phase }}<td>{{ box.expires_on|date:"j F Y" }}
<td>{{ box.auto_renews|yesno:"sì,no" }}</tr>{% endfor %}</table>
<table>{% for order in orders %}<tr><td>{{ order.number }}<td>{{ order.total }}<td>{{ order.status }}</tr>{% endfor %}
</table>
</body></html>"""


def rows(request: HttpRequest) -> HttpResponse:
    """Who is asking, how many boxes, 25 of them, their open orders: four queries."""
    from mailboxes.models import Mailbox
    from renewals.models import Order

    mine = Mailbox.objects.filter(owner=request.user)
    boxes = list(mine.select_related("address", "holder", "plan").order_by("expires_on", "id")[:25])
    context = {
        "user": request.user, "total": mine.count(), "boxes": boxes,
        "orders": list(Order.objects.filter(lines__mailbox__in=boxes).order_by("-confirmed_at")[:50]),
    }  # fmt: skip
    return HttpResponse(page.render(context))


urlpatterns = [path("tabella/", rows), path("healthz", lambda request: HttpResponse("ok"))]

django.setup()  # with the portal's own middleware, which some of its apps insist on
settings.ROOT_URLCONF = __name__
settings.MIDDLEWARE = SKELETON
application = WSGIHandler()
page = engines["django"].from_string(TABLE)
