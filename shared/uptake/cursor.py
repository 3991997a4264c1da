"""A reader's position as a row beside the state it stands for. Moved only in the transaction that moves the state."""

from sqlalchemy import TableClause, column, select, table, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.reader import Cursor, Fenced


def _table(schema: str) -> TableClause:
    """`<schema>.cursor (name text primary key, stream_uuid text, sequence bigint, stored_at timestamptz)`.

    Made by the service's migrations.
    """
    return table("cursor", *map(column, ("name", "stream_uuid", "sequence", "stored_at")), schema=schema)


async def load(connection: AsyncConnection, schema: str, name: str) -> Cursor:
    """Where the reader `name` stands; `Cursor(None, 0)` when it has never read."""
    rows = _table(schema)
    wanted = select(rows.c.stream_uuid, rows.c.sequence, rows.c.stored_at).where(rows.c.name == name)
    found = (await connection.execute(wanted)).first()
    return Cursor(found.stream_uuid, found.sequence, found.stored_at) if found else Cursor(None, 0)


async def advance(connection: AsyncConnection, schema: str, name: str, expected: Cursor, new: Cursor) -> None:
    """Move the row from `expected` to `new`, or raise Fenced because another writer moved it first.

    Call it first in the transaction: the row's lock makes a second writer wait here, and then lose here, before it
    touches any state.
    """
    rows = _table(schema)
    values = {"stream_uuid": new.stream_uuid, "sequence": new.sequence, "stored_at": new.stored_at}
    if expected == Cursor(None, 0):
        statement = upsert(rows).values(name=name, **values).on_conflict_do_nothing(index_elements=["name"])
        moved = await connection.execute(statement)
    else:
        same = (rows.c.name == name, rows.c.stream_uuid == expected.stream_uuid, rows.c.sequence == expected.sequence)
        moved = await connection.execute(update(rows).where(*same).values(**values))
    if moved.rowcount != 1:
        raise Fenced(f"{schema}.cursor {name} is no longer at {expected.sequence}")
