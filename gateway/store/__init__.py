"""Postgres: one function, one statement. asyncpg on the hot tables, advanced-alchemy for configuration.

Every query that belongs to a merchant filters by `merchant_id`. Nothing here decides anything about money.
"""
