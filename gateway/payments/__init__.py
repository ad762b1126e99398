"""The domain: what a payment is and how facts change it. Pure: no I/O, no clock, no ids made here."""
