"""A program of its own that writes Parquet (standard input) as CSV (standard output), in bounded memory.

A few kilobytes of Parquet can unpack to gigabytes, and what reads it is native code that meets bytes of
strangers: whatever they do to this process, the page goes on. Exit code 3 says that the file is refused, and
standard output then why.
"""

import csv
import io
import resource
import sys
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

MEMORY = 192 * 2**20
SECONDS = 20
ROWS_AT_A_TIME = 1_000
REFUSED = 3


def limit() -> None:
    """From here on take little more memory than the interpreter and its libraries have, and little time."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def refuse(reason: str) -> NoReturn:
    """End, with the key of the reason."""
    sys.stdout.write(reason)
    sys.exit(REFUSED)


def is_flat(kind: pa.DataType) -> bool:
    """Whether values of a type are cells of a table: no lists, structures or raw bytes."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def unpack(source: bytes, most_rows: int, most_columns: int, most_characters: int) -> str:
    """The flat columns as CSV; refuses what the file's own figures, or what is found, say is too much."""
    file = pq.ParquetFile(pa.BufferReader(source))
    if file.metadata.num_rows > most_rows:
        refuse("rows")
    if file.metadata.num_columns > most_columns:
        refuse("columns")
    names = [field.name for field in file.schema_arrow if is_flat(field.type)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    rows = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=names, use_threads=False):
        rows += batch.num_rows
        if rows > most_rows:
            refuse("rows")
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        if text.tell() > most_characters:
            refuse("unpacked")
    return text.getvalue()


def main() -> None:
    """Read, unpack, write."""
    source = sys.stdin.buffer.read()
    limit()
    try:
        text = unpack(source, *map(int, sys.argv[1:4]))
    except MemoryError:
        refuse("unpacked")
    except (pa.ArrowException, OSError, ValueError):
        # OSError is how Arrow says that the bytes make no sense.
        refuse("parquet")
    sys.stdout.buffer.write(text.encode())


main()
