"""Where the mail queue's sender meets the letters. An error here stops no mail: beat comes again within a minute."""

import logging

from lifecycle import letters
from lifecycle.work import ask_for_a_run, trail

log = logging.getLogger(__name__)


def take_back(sender: object, **said: object) -> None:
    """Before a batch leaves: no letter says "domani" a day later."""
    try:
        taken = letters.take_back_stale()
    except Exception as error:  # the other mails of the queue leave all the same
        log.error("letters: stale ones were not taken back: %s", trail(error))
        return
    if taken:
        ask_for_a_run()  # their notices are owed again: told now, not in three hours


def read(sender: object, *, down: str, **said: object) -> None:
    """After a run: what the relay said."""
    try:
        letters.read_outcomes(down=down)
    except Exception as error:  # what the relay said stays in the queue's own table, for the next run
        log.error("letters: outcomes were not read: %s", trail(error))
