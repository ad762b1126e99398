"""Choosing the account that takes a payment."""
