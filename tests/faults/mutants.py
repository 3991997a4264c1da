"""Our own packages with one promise broken, as a copy that services can be started from. Judges nothing."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PACKAGES = _PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`found` must be in `file` exactly once: when the code has changed, the mutant has to be thought about again."""

    name: str
    file: str
    found: str
    put: str

    def grow(self, folder: Path) -> str:
        """The folders to put before the installed packages, as PYTHONPATH."""
        for package in _PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / self.file
        text = path.read_text()
        if text.count(self.found) != 1:
            raise LookupError(f"mutant {self.name}: {self.file} does not hold this text once:\n{self.found}")
        path.write_text(text.replace(self.found, self.put))
        return ":".join(str((folder / package).parent) for package in _PACKAGES)


_ROWS_ARE_LOCKED = """\
    rows = await connection.execute(
        text(\"\"\"
            SELECT shard, stream_uuid, sequence, stored_at, checkpoint FROM metrics.shard
            WHERE shard = ANY(CAST(:shards AS int[])) ORDER BY shard FOR NO KEY UPDATE\"\"\"),
        {"shards": list(expected)},
    )
    found = {row.shard: _position(row) for row in rows}
"""
COUNTS_NOT_COMPARED = Mutant(
    "no compare-and-set of the counts",
    "services/metrics/uptake_metrics/activity_store.py",
    f"{_ROWS_ARE_LOCKED}    if found != expected:\n"
    '        raise Fenced("another metrics process changed the counts, or their position in USAGE")\n',
    # The gap is there anyway: a writer has to be frozen in it, with a checkpoint that is begun and locks nothing yet.
    f"    import asyncio\n    await asyncio.sleep(0.05)\n{_ROWS_ARE_LOCKED}"
    # The number of the checkpoint too is whatever the row says: else its key in the table of deltas is a second fence.
    "    expected.update({shard: at._replace(checkpoint=found[shard].checkpoint) for shard, at in expected.items()})\n",
)
CURSOR_NOT_COMPARED = Mutant(
    "no compare-and-set of the cursor",
    "shared/uptake/cursor.py",
    "        moved = await connection.execute(update(rows).where(*same).values(**values))\n",
    "        moved = await connection.execute(update(rows).where(same[0]).values(**values))\n",
)
RAW_ACKNOWLEDGED_FIRST = Mutant(
    "RAW acknowledged before its events are stored",
    "services/ingestion/uptake_ingestion/raw_door.py",
    "        await stored\n        for message in messages:\n            await message.ack()\n",
    "        for message in messages:\n            await message.ack()\n"
    "        await asyncio.sleep(0.02)\n"  # the gap is there anyway; so it shows within a minute
    "        await stored\n",
)
ROW_MOVED_FIRST = Mutant(
    "the position committed before the counts",
    "services/metrics/uptake_metrics/counting.py",
    "                        positions = await activity_store.advance(connection, read, new)\n",
    "                        positions = await activity_store.advance(connection, read, new)\n"
    "                    await asyncio.sleep(0.02)\n"  # the same
    "                    async with self._engine.begin() as connection:\n",
)
