"""docs/reference/database.md: the tables of a migrated database, as a diagram and in full."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from gateway.embedded import EmbeddedPostgres
from gateway.processes import free_port
from gateway.store.migrate import migrate
from tests.docs.markdown import code, codes, mermaid, page, table

LINKS: Final[Mapping[str, str]] = {  # what a column means where no foreign key says it
    "account_id": "accounts",
    "endpoint_id": "webhook_endpoints",
    "event_id": "events",
    "operation_id": "operations",
    "payment_id": "payments",
    "root_id": "payments",
    "target_id": "operations",
}
NOT_OURS: Final = "alembic_version"

INTRODUCTION = """
What each table is for, and what it was made ready for: [architecture](../architecture.md#tables). How a column came to
be, and why: the migrations. Times are `timestamp with time zone`, money is `bigint` in minor units, statuses are `text`
with a CHECK.
"""
DIAGRAM = """
A solid line is a foreign key. A dotted line is a column that names a row without one: the tables that every payment
writes have no foreign keys, so that a write locks no row of configuration and a table can move to another server.
`merchant_id` is in nearly every table and in the `where` of nearly every statement; its dotted lines are left out, and
so are tables without any line.
"""

_COLUMNS = """
    select c.relname as "table", a.attname as name, format_type(a.atttypid, a.atttypmod) as kind,
        not a.attnotnull as nullable, c.relkind = 'p' as partitioned,
        coalesce(a.attnum = any (i.indkey), false) as key
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_index i on i.indrelid = c.oid and i.indisprimary
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname, a.attnum
"""
_FOREIGN = """
    select conrelid::regclass::text as "table", a.attname as name, confrelid::regclass::text as target
    from pg_constraint join pg_attribute a on attrelid = conrelid and attnum = conkey[1]
    where contype = 'f' and conparentid = 0 order by 1, 2
"""
_INDEXES = """
    select c.relname as "table", x.relname as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
    where c.relnamespace = 'public'::regnamespace and not c.relispartition and c.relkind in ('r', 'p')
    order by 1, not i.indisprimary, 2
"""


class Column(NamedTuple):
    """A column; `target` is the table that it names, `constrained` whether a foreign key says so."""

    name: str
    kind: str
    nullable: bool
    key: bool
    target: str | None
    constrained: bool


class Table(NamedTuple):
    """A table, its columns in order, and its indexes: name and what follows USING."""

    name: str
    partitioned: bool
    columns: Sequence[Column]
    indexes: Sequence[tuple[str, str]]


def database(uri: str) -> str:
    """The page, from the database at `uri`."""
    found = asyncio.run(read(uri))
    return page(
        "Database",
        "the schema of a migrated database",
        INTRODUCTION,
        "## Diagram",
        DIAGRAM,
        diagram(found),
        *(part for each in found for part in section(each)),
    )


async def read(uri: str) -> list[Table]:
    """The tables of a database, by name."""
    connection = await asyncpg.connect(uri)
    try:
        columns, foreign, indexes = [await connection.fetch(one) for one in (_COLUMNS, _FOREIGN, _INDEXES)]
    finally:
        await connection.close()
    constrained = {(row["table"], row["name"]): row["target"] for row in foreign}
    return [
        Table(
            name,
            partitioned,
            [_column(row, constrained) for row in columns if row["table"] == name],
            [(row["name"], row["definition"].split(" USING ")[1]) for row in indexes if row["table"] == name],
        )
        for name, partitioned in dict.fromkeys((row["table"], row["partitioned"]) for row in columns)
        if name != NOT_OURS
    ]


def _column(row: asyncpg.Record, constrained: Mapping[tuple[str, str], str]) -> Column:
    target = constrained.get((row["table"], row["name"]))
    meant = target or LINKS.get(row["name"])
    return Column(row["name"], row["kind"], row["nullable"], row["key"], meant, target is not None)


def diagram(found: Sequence[Table]) -> str:
    """Tables with the columns that identify rows or name others, and the lines between them."""
    lines = [line for each in found for line in _lines(each)]
    named = {word for line in lines for word in line.split()}
    boxes = [line for each in found if each.name in named for line in _box(each)]
    return mermaid("erDiagram", *boxes, *lines)


def _lines(each: Table) -> Iterator[str]:
    alone = sum(column.key for column in each.columns) == 1
    for column in each.columns:
        if column.target and column.target != each.name:
            line, many = "--" if column.constrained else "..", "o|" if column.key and alone else "o{"
            yield f"    {column.target} ||{line}{many} {each.name} : {column.name}"


def _box(each: Table) -> list[str]:
    shown = [_attribute(column) for column in each.columns if column.key or column.target]
    return [f"    {each.name} {{", *(f"        {attribute}" for attribute in shown), "    }"]


def _attribute(column: Column) -> str:
    marks = [mark for mark, there in (("PK", column.key), ("FK", column.constrained)) if there]
    return f"{column.kind.split(' ')[0]} {column.name} {', '.join(marks)}".rstrip()


def section(each: Table) -> tuple[str, ...]:
    """One table: its columns and its indexes."""
    kept = "A partition for each day, by the time in the id." if each.partitioned else ""
    rows = [(code(column.name), _kind(column), code(column.target) if column.target else "") for column in each.columns]
    indexes = [f"- {code(name)}: {code(definition)}" for name, definition in each.indexes]
    parts = (
        f"## {code(each.name)}",
        kept,
        table(["column", "type", "names"], rows),
        "\n".join(["Indexes:", "", *indexes]),
    )
    return tuple(filter(None, parts))


def _kind(column: Column) -> str:
    marks = [*(["primary key"] if column.key else []), *(["may be null"] if column.nullable else [])]
    return ", ".join([codes([column.kind.replace("timestamp with time zone", "timestamptz")]), *marks])


def of_new_cluster() -> str:
    """The page, from a PostgreSQL that is started, migrated and thrown away."""
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres", free_port())
        try:
            server.start()
            server.create_database("mypay")
            migrate(server.uri("mypay"))
            return database(server.uri("mypay"))
        finally:
            server.stop()
