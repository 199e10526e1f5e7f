"""Bank statements: read whole or refused whole (camt, csv), looked at, then applied once (flow)."""
