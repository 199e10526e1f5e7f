"""Which text of the general terms is in force. A new text is a new template and a version here; orders name theirs."""

VERSION = "2026-12"
VERSIONS = ("2026-11", VERSION)
