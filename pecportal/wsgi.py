import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")
application = get_wsgi_application()

from pecportal.checks import refuse_to_start_if_wrong  # noqa: E402  (needs the applications loaded)

refuse_to_start_if_wrong()
