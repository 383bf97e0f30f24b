"""The rows that one run learns from and is judged on: a reference that fits into a message, and the rows
behind it.
"""

import hashlib
from dataclasses import dataclass

import pandas as pd

from covertype import tables
from covertype.tables import MySQL


class SnapshotError(RuntimeError):
    """The rows behind a snapshot are not those that it was taken of."""


@dataclass(frozen=True)
class Snapshot:
    """All rows that the ledger knew up to and including line `ledger`.

    Rows are never changed and belong to the line that brought them first, so this set stays the same whatever
    comes later; `fingerprint` proves it.
    """

    ledger: int
    rows: int
    fingerprint: str


def take(connection: MySQL) -> Snapshot:
    """The snapshot of everything stored so far."""
    ledger = tables.last_line(connection)
    keys = tables.load_keys(connection, ledger)
    return Snapshot(ledger, len(keys), fingerprint(keys))


def load(connection: MySQL, snapshot: Snapshot) -> pd.DataFrame:
    """The rows of a snapshot (columns of `tables.load_observations`); raises SnapshotError when they are not
    the same any more.
    """
    observations = tables.load_observations(connection, snapshot.ledger)
    found = fingerprint(list(observations["row_key"]))
    if found != snapshot.fingerprint:
        raise SnapshotError(
            f"raw_observations has {len(observations)} rows up to line {snapshot.ledger} of raw_batches, "
            f"not the {snapshot.rows} of the snapshot {snapshot.fingerprint[:12]}: rows were changed or "
            "deleted since. Clear the task `prepare` and what follows it: the run takes a new snapshot then."
        )
    return observations


def fingerprint(keys: list[bytes]) -> str:
    """SHA-256 in hex over the sorted keys of the rows: equal exactly when the sets of rows are."""
    return hashlib.sha256(b"".join(sorted(keys))).hexdigest()
