"""Everything a provider author needs, and nothing else: this package imports no other part of MyPay."""
