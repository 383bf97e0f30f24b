"""A file of records without a screen: read in bounded memory, checked by row, written with its answers."""

import csv
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from answers import Prediction
from form import CoverClass, Fault, Field, Form, Value, check

MOST_MEGABYTES = 20
MOST_ROWS = 50_000
MOST_COLUMNS = 40
MOST_CHARACTERS = 40_000_000
# A file can be wrong in every cell; a list of all that would help nobody.
MOST_FAULTS = 1_000

TARGET = "Cover_Type"
# What a download has beside the columns of the file.
ANSWER_COLUMNS = ("row", "prediction", "label", "probability", "model_version", "prediction_id")

_UNPACK = Path(__file__).parent / "unpack_parquet.py"
_UNPACK_SECONDS = 120  # what it may compute is limited there; this is for a machine with much else to do
_ONE_AT_A_TIME = threading.Lock()
_WHOLE = re.compile(r"[+-]?\d{1,9}(?:\.0+)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Unreadable(Exception):
    """No row of the file can be used: the key of the reason, and the columns that it names."""

    def __init__(self, key: str, names: str = "") -> None:
        super().__init__(key)
        self.key = key
        self.names = names


class Row(NamedTuple):
    """One good row: its number in the file, the features in the form's order, its class, other cells."""

    number: int
    features: tuple[int | str, ...]
    truth: str | None
    others: tuple[str, ...]


class RowFault(NamedTuple):
    """What is wrong with one cell (or, without a column, with the row as a whole)."""

    row: int
    column: str
    entry: str
    fault: Fault


class Outcome(NamedTuple):
    """What is kept of a prediction."""

    cover_type: int
    label: str
    probability: float
    model_version: str
    prediction_id: str


@dataclass(frozen=True)
class Upload:
    """A file that was read: its good rows, what is wrong with the rest, the columns beside the features."""

    name: str
    columns: tuple[str, ...]
    others: tuple[str, ...]
    rows: Sequence[Row]
    faults: Sequence[RowFault]
    faulty_rows: int
    has_truth: bool

    def records(self, start: int, stop: int) -> list[dict[str, int | str]]:
        """Records of good rows, as the API takes them."""
        return [dict(zip(self.columns, row.features, strict=True)) for row in self.rows[start:stop]]


def outcome_of(prediction: Prediction) -> Outcome:
    """The part of a prediction that is kept."""
    return Outcome(
        prediction.cover_type,
        prediction.label,
        prediction.probabilities[prediction.label],
        prediction.model_version,
        prediction.prediction_id,
    )


def read(name: str, content: bytes, form: Form) -> Upload:
    """Read a CSV or Parquet file, told apart by its first bytes; raises Unreadable."""
    if content.startswith(b"PAR1"):
        # Its rows have no header among them, so the first one is row 1.
        return _checked(name, _cells(io.BytesIO(_unpacked(content)), "utf-8"), form, first_row=1)
    if content.startswith((b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
        raise Unreadable("packed")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return _checked(name, _cells(io.BytesIO(content), encoding), form, first_row=2)


def _unpacked(content: bytes) -> bytes:
    """A Parquet file as CSV in UTF-8, by a process that cannot take this one down."""
    limits = (MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS)
    with _ONE_AT_A_TIME:
        try:
            done = subprocess.run(
                [sys.executable, "-I", _UNPACK, *map(str, limits)],
                input=content,
                capture_output=True,
                check=False,
                timeout=_UNPACK_SECONDS,
                # Arrow's other allocators reserve far more addresses than they use, and those are limited.
                env={
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        except subprocess.TimeoutExpired as error:
            raise Unreadable("unpacked") from error
    if done.returncode == 0:
        return done.stdout
    reason = done.stdout.decode("ascii", "replace")
    raise Unreadable(reason if reason in {"rows", "columns", "unpacked"} else "parquet")


def _cells(source: io.BytesIO, encoding: str) -> Iterator[list[str]]:
    """The rows of a CSV file, with the separator that its header is written with."""
    text = io.TextIOWrapper(source, encoding=encoding, newline="")
    try:
        header = text.readline(100_000)
        text.seek(0)
        separator = max(",;\t", key=header.count)
        yield from csv.reader(text, delimiter=separator)
    except UnicodeError as error:
        raise Unreadable("encoding") from error
    except csv.Error as error:
        raise Unreadable("csv") from error


def _checked(name: str, lines: Iterator[list[str]], form: Form, first_row: int) -> Upload:
    """Every row checked against the form."""
    header = [cell.strip() for cell in next(lines, [])]
    _require_columns(header, form)
    places = {column: place for place, column in enumerate(header)}
    others = [column for column in header if column not in {field.name for field in form.fields}]
    rows: list[Row] = []
    faults: list[RowFault] = []
    faulty = total = 0
    for number, cells in enumerate(lines, first_row):
        if not any(cell.strip() for cell in cells):
            continue  # spreadsheets leave such lines at the end
        total += 1
        if total > MOST_ROWS:
            raise Unreadable("rows")
        if len(cells) != len(header):
            found = [RowFault(number, "", "", Fault("width", {"found": len(cells), "expected": len(header)}))]
        else:
            entries = {field.name: _entry(field, cells[places[field.name]].strip()) for field in form.fields}
            found = [
                _row_fault(number, column, cells[places[column]].strip(), fault)
                for column, fault in check(form.fields, entries).items()
            ]
        if found:
            faulty += 1
            faults += found[: MOST_FAULTS - len(faults)]
            continue
        features = tuple(value for value in entries.values() if value is not None)
        truth = _class_of(cells[places[TARGET]].strip(), form.classes) if TARGET in places else None
        rows.append(Row(number, features, truth, tuple(cells[places[column]] for column in others)))
    if not total:
        raise Unreadable("empty")
    return Upload(
        name,
        tuple(field.name for field in form.fields),
        tuple(others),
        rows,
        faults,
        faulty,
        any(row.truth is not None for row in rows),
    )


def _require_columns(header: Sequence[str], form: Form) -> None:
    """Raise Unreadable when the header is not one of a file of records."""
    if not any(header):
        raise Unreadable("empty")
    if len(header) > MOST_COLUMNS:
        raise Unreadable("columns")
    missing = [field.name for field in form.fields if field.name not in header]
    if missing:
        raise Unreadable("missing", ", ".join(missing))
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise Unreadable("twice", ", ".join(column[:100] for column in twice))


def _entry(field: Field, cell: str) -> Value:
    """What a cell says: text for a category, a whole number (2596 or 2596.0) for the rest, else None."""
    if field.options:
        return cell or None
    return int(cell.partition(".")[0]) if _WHOLE.fullmatch(cell) else None


def _row_fault(number: int, column: str, cell: str, fault: Fault) -> RowFault:
    """A fault of one cell; an empty one is called empty, whatever it should have held."""
    return RowFault(number, column, cell[:100], fault if cell else Fault("blank", {}))


def _class_of(cell: str, classes: Iterable[CoverClass]) -> str | None:
    """The name of the class that a cell gives by its number or its name; None for anything else."""
    known: Mapping[str, str] = {
        word: item.label for item in classes for word in (str(item.number), f"{item.number}.0", item.label)
    }
    return known.get(cell)


def template(form: Form) -> bytes:
    """A CSV file to fill in: the header and a record of each class."""
    return written([field.name for field in form.fields], (item.example.values() for item in form.classes))


def with_answers(upload: Upload, outcomes: Sequence[Outcome]) -> bytes:
    """The good rows that have an answer as CSV: the file's own columns, and the answer."""
    kept = [place for place, column in enumerate(upload.others) if column not in ANSWER_COLUMNS]
    header = [*upload.columns, *(upload.others[place] for place in kept)]
    lines = (
        (
            row.number,
            outcome.cover_type,
            outcome.label,
            f"{outcome.probability:.4f}",
            outcome.model_version,
            outcome.prediction_id,
            *row.features,
            *(row.others[place] for place in kept),
        )
        for row, outcome in zip(upload.rows, outcomes, strict=False)
    )
    return written([*ANSWER_COLUMNS, *header], lines)


def written(header: Sequence[str], lines: Iterable[Iterable[object]]) -> bytes:
    """A table as CSV that a spreadsheet opens without harm."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(harmless(cell) for cell in header)
    writer.writerows([harmless(cell) for cell in line] for line in lines)
    # With a mark at the start, by which spreadsheets know the encoding.
    return text.getvalue().encode("utf-8-sig")


def harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: what would be one gets an apostrophe; numbers stay."""
    text = str(cell)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else cell
