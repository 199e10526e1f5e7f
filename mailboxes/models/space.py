"""What the mail system last said of the space that a box uses."""

from django.db import models

from .boxes import Mailbox


class SpaceUsed(models.Model):
    """A box's last measurement. The guards of R7 ask the mail system itself; pages and the warning read this.

    Written by mailboxes.measuring alone, which makes the row when it first hears of the box.
    """

    box = models.OneToOneField(Mailbox, on_delete=models.CASCADE, primary_key=True, related_name="space_used")
    mailbox_bytes = models.PositiveBigIntegerField(default=0)
    archive_bytes = models.PositiveBigIntegerField(default=0)
    measured_at = models.DateTimeField(null=True)  # empty until it is measured the first time
    next_check_at = models.DateTimeField()
    warned_at = models.DateTimeField(null=True)  # its people know that it is filling up; empty once it has room again

    class Meta:
        indexes = [models.Index(fields=["next_check_at", "box"], name="spaceused_next_check")]

    def __str__(self) -> str:
        return f"{self.box_id}: {self.mailbox_bytes} + {self.archive_bytes}"
