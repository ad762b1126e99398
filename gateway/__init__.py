"""MyPay's core and its HTTP face."""
