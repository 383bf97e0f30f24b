"""The rows on offer: one Parquet file, cut into ten consecutive parts."""

import json
import random
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCHES = 10

COLUMNS = (
    "Elevation",
    "Aspect",
    "Slope",
    "Horizontal_Distance_To_Hydrology",
    "Vertical_Distance_To_Hydrology",
    "Horizontal_Distance_To_Roadways",
    "Hillshade_9am",
    "Hillshade_Noon",
    "Hillshade_3pm",
    "Horizontal_Distance_To_Fire_Points",
    "Wilderness_Area",
    "Soil_Type",
    "Cover_Type",
)


class Dataset:
    """The file in memory, column by column and compact (16 MB for 581,012 rows)."""

    def __init__(self, path: Path, batch_fraction: float, seed: int | None = None) -> None:
        """Read `path`; raise ValueError when it lacks a column or a value or is too short for ten batches.

        With a `seed`, the first sample of a batch is the same in every process, and so is the second.
        """
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{path} has no column {', '.join(missing)}")
            # One column at a time: reading all of them at once takes four times the memory for a moment.
            self._columns = [_compact(name, file.read(columns=[name]).column(0)) for name in COLUMNS]
        self.rows = len(self._columns[0])
        self._fraction = batch_fraction
        self._seed = seed
        # Counters that two threads may ask at once.
        self._draws = [count(1) for _ in range(BATCHES)]
        if self.rows < BATCHES:
            raise ValueError(f"{path} has {self.rows} rows, fewer than the {BATCHES} batches")

    def part(self, batch: int) -> range:
        """Give the rows that `batch` (1..10) samples from: that tenth of the file, in its order."""
        return range(self.rows * (batch - 1) // BATCHES, self.rows * batch // BATCHES)

    def sample(self, batch: int) -> bytes:
        """Draw a fresh sample of `batch` without replacement, as JSON: rows of 13 strings, as COLUMNS.

        Written by column, without a Python object for each value: a whole tenth has 755,313.
        """
        part = self.part(batch)
        rows = self._chance(batch).sample(part, max(1, round(len(part) * self._fraction)))
        chosen = pa.array(rows)
        columns = [column.take(chosen).cast(pa.string()) for column in self._columns]
        lines = pc.binary_join_element_wise(*columns, '","')
        table = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)]), lines), '"],["')
        return b'[["%b"]]' % table[0].as_buffer()

    def _chance(self, batch: int) -> random.Random:
        seed = None if self._seed is None else f"{self._seed} {batch} {next(self._draws[batch - 1])}"
        return random.Random(seed)  # noqa: S311 - it chooses rows, it guards nothing


def _compact(name: str, column: pa.ChunkedArray) -> pa.Array:
    """Keep numbers as int16, which holds every range of the data, and text as a dictionary of what JSON
    writes between the quotes; raise ValueError on a missing value.
    """
    if column.null_count:
        raise ValueError(f"{name} has {column.null_count} missing values")
    if pa.types.is_integer(column.type):
        return column.cast(pa.int16()).combine_chunks()
    encoded = column.combine_chunks().dictionary_encode()
    texts = pa.array([json.dumps(text)[1:-1] for text in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int8()), texts)
