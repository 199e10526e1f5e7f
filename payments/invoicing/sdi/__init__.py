"""How a file goes to SdI, the state's exchange: one of ROADS, by the setting SDI_ROAD."""

from django.conf import settings

from payments.invoicing.sdi.base import Road
from payments.invoicing.sdi.folder import FolderRoad
from payments.invoicing.sdi.mail import MailRoad

ROADS: dict[str, type[Road]] = {"folder": FolderRoad, "mail": MailRoad}


def get_road() -> Road | None:
    """The road of this installation; None where there is none, and files wait."""
    road = ROADS.get(settings.SDI_ROAD)
    return road() if road else None
