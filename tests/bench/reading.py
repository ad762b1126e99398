"""Reading at a million payments: GET and lists in an open loop, and beside a plain select by primary key.

python -m tests.bench.reading --payments 20000 --seconds 3      a trial; `make bench` takes a million
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

from gateway import ids
from tests.bench import report
from tests.bench.load import measure
from tests.bench.report import Row
from tests.bench.servers import MYPAY, PLAIN_SELECT, server, shown
from tests.support.installation import Installation
from tests.support.parts import Parts, begin_run, end_run, fresh_database, parts_of_run

PAYMENTS: Final = 1_000_000
RATE: Final = 200
CONNECTIONS: Final = 64

# A UUIDv7 of the second that the row is old, its last byte the logical partition; nine of ten succeeded.
FILL: Final = """
insert into payments (lp, id, merchant_id, livemode, status, amount, currency, amount_captured, country, phone,
                      reference, account_id, provider, details, route, sequence, expires_at, created_at, updated_at)
select lp, (substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(noise, 1, 3) || '-8' || substr(noise, 4, 3)
            || '-' || substr(noise, 7, 10) || lpad(to_hex(lp), 2, '0'))::uuid,
       $1, false, case when n % 10 > 0 then 'succeeded' else 'failed' end, 1 + n % 50000, 'LSL', 0, 'LS',
       '+266' || 50000000 + n % 100000, 'order-' || n, $2, 'sandbox', $3, '{}', 3, at + interval '1 hour', at, at
  from (select n, n % 256 as lp, now() - n * interval '1 second' as at, md5(n::text) as noise,
               lpad(to_hex((extract(epoch from now() - n * interval '1 second') * 1000)::bigint), 12, '0') as hex
          from generate_series(1, $4::int) n) made
"""
DETAILS: Final = """
{"method": {"type": "mobile_money", "phone": "+26658123000"}, "capture": "automatic", "description": "Order",
 "metadata": {"cart": "77"}, "customer": {"name": null, "email": null}, "return_url": null}
"""
LISTS: Final = ("", "&status=failed", "&phone=%2B26650000077", "&reference=order-777")


def rows(parts: Parts, *, payments: int = PAYMENTS, seconds: float = 10.0) -> Iterator[Row]:
    """All of it, on one database."""
    with fresh_database(parts) as uri, tempfile.TemporaryDirectory() as place:
        with server(parts, MYPAY, uri=uri) as (made, port):
            found = asyncio.run(_fill(made, payments))
            gets, lists = Path(place) / "gets", Path(place) / "lists"
            gets.write_text("\n".join(f"/v1/payments/{each}" for each in found))
            lists.write_text("\n".join(f"/v1/payments?limit=20{each}" for each in LISTS))
            named = f"at {payments:,} payments, {RATE}/s over {CONNECTIONS} connections"
            for name, paths, goal in (("GET", gets, 3), ("list", lists, 10)):
                options = {"paths": paths, "rate": RATE, "connections": CONNECTIONS, "seconds": seconds}
                seen = measure(port, made.api_key, **options)
                yield Row(f"{name} {named}", shown(seen), f"p50 ≤ {goal} ms", seen["p50_ms"] <= goal)
            ours = measure(port, made.api_key, paths=gets, connections=CONNECTIONS, seconds=seconds)
            yield Row(f"GET, {CONNECTIONS} connections", shown(ours))
            key = made.api_key
        with server(parts, PLAIN_SELECT, uri=uri, key=key) as (_, port):
            plain = measure(port, key, paths=gets, connections=CONNECTIONS, seconds=seconds)
            yield Row(f"a plain select by primary key, {CONNECTIONS} connections", shown(plain))
        yield Row("GET ÷ plain select", f"{ours['per_second'] / plain['per_second']:.2f}")


async def _fill(made: Installation, payments: int) -> list[str]:
    """Make them, and name a thousand from all over."""
    connection = await asyncpg.connect(made.settings.database_uri)
    try:
        merchant = await connection.fetchval("select id from merchants")
        account = ids.read(ids.ACCOUNT, made.accounts["sandbox"])
        await connection.execute(FILL, merchant, account, DETAILS, payments)
        await connection.execute("vacuum analyze payments")
        some = await connection.fetch("select id from payments order by md5(id::text) limit 1000")
        return [ids.show(ids.PAYMENT, row["id"]) for row in some]
    finally:
        await connection.close()


def main() -> None:
    """A run of its own, printed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--payments", type=int, default=PAYMENTS)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    begin_run()
    try:
        for row in rows(parts_of_run(), payments=given.payments, seconds=given.seconds):
            print(*report.cells(row), sep=" | ", flush=True)
    finally:
        end_run()


if __name__ == "__main__":
    main()
