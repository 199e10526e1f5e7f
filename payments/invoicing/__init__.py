"""FatturaPA: what an invoice says (document, from_order), how it is written (xml), what SdI would refuse (checks)."""
