"""Files of strangers: read in bounded memory, judged row by row, and given back without harm."""

import csv
import io
import resource
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stub_api import EXAMPLE, schema

import upload
from form import Form, read_schema
from upload import Outcome, Unreadable, Upload

COLUMNS = list(EXAMPLE)


@pytest.fixture
def form() -> Form:
    return read_schema(schema())


def as_csv(*rows: dict[str, Any], separator: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def as_parquet(*rows: dict[str, Any], **options: Any) -> bytes:
    return table_as_parquet(pa.Table.from_pylist(list(rows)), **options)


def table_as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def refusal(content: bytes, form: Form) -> str:
    with pytest.raises(Unreadable) as caught:
        upload.read("a file", content, form)
    return caught.value.key


def faults(read: Upload) -> list[tuple[int, str, str, str]]:
    return [(found.row, found.column, found.entry, found.fault.key) for found in read.faults]


@pytest.mark.parametrize(
    "content",
    [
        as_csv(EXAMPLE, EXAMPLE),
        as_csv(EXAMPLE, EXAMPLE, separator=";"),
        as_csv(EXAMPLE, EXAMPLE, separator="\t", encoding="utf-16"),
        as_csv(EXAMPLE, EXAMPLE, encoding="utf-8-sig"),
        as_csv(EXAMPLE, EXAMPLE) + b",,,,,,,,,,,\r\n\r\n",
        as_csv(*[{name: EXAMPLE[name] for name in reversed(COLUMNS)}] * 2),
        as_csv(*[EXAMPLE | {"Elevation": "2596.0", "Slope": " 3 "}] * 2),
        as_parquet(EXAMPLE, EXAMPLE),
        as_parquet(*[EXAMPLE | {"Elevation": 2596.0, "note": [1, 2], "raw": b"\xff"}] * 2),
        as_parquet(EXAMPLE, EXAMPLE, compression="zstd", use_dictionary=False, version="1.0"),
    ],
)
def test_the_same_rows_however_they_are_written(content: bytes, form: Form) -> None:
    read = upload.read("a file", content, form)
    assert read.records(0, 9) == [EXAMPLE, EXAMPLE]
    assert read.faulty_rows == 0


def test_each_bad_cell_is_named_by_its_row_in_the_file(form: Form) -> None:
    rows: list[dict[str, Any]] = [
        EXAMPLE,
        EXAMPLE | {"Elevation": 99, "Soil_Type": "C7744"},
        EXAMPLE | {"Slope": -4},
        EXAMPLE | {"Aspect": "12.5", "Wilderness_Area": None},
        EXAMPLE,
    ]
    expected = [
        (1, "Elevation", "99", "range"),
        (1, "Soil_Type", "C7744", "choose"),
        (2, "Slope", "-4", "negative"),
        (3, "Aspect", "12.5", "number"),
        (3, "Wilderness_Area", "", "blank"),
    ]
    read = upload.read("a.csv", as_csv(*rows), form)
    # In a CSV file the header is row 1.
    assert faults(read) == [(row + 2, *rest) for row, *rest in expected]
    assert [row.number for row in read.rows] == [2, 6]
    assert read.faulty_rows == 3
    # Parquet has no header among its rows, and one type for a column.
    as_text = [{name: None if cell is None else str(cell) for name, cell in row.items()} for row in rows]
    assert faults(upload.read("a.parquet", as_parquet(*as_text), form)) == [
        (row + 1, *rest) for row, *rest in expected
    ]


@pytest.mark.parametrize(
    "cell", ["0x10", "1e3", "2_596", "٢٥٩٦", "2,596", "nan", "inf", "9" * 30, "=2596", "''"]
)
def test_what_is_no_whole_number(cell: str, form: Form) -> None:
    read = upload.read("a file", as_csv(EXAMPLE | {"Elevation": cell}), form)
    assert [found.fault.key for found in read.faults] == ["number"]


def test_a_row_of_another_width_is_a_bad_row(form: Form) -> None:
    read = upload.read("a file", as_csv(EXAMPLE) + b"1,2,3\r\n" + b"7," * 12 + b"7\r\n", form)
    assert [(row, fault.values) for row, _, _, fault in read.faults] == [
        (3, {"found": 3, "expected": 12}),
        (4, {"found": 13, "expected": 12}),
    ]
    assert len(read.rows) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (as_csv(EXAMPLE).splitlines(keepends=True)[0], "empty"),
        (as_csv({"a": 1, "b": 2}), "missing"),
        (as_csv(EXAMPLE).replace(b"Slope", b"slope"), "missing"),
        (as_csv(EXAMPLE | {"x": 1}).replace(b",x", b",Slope"), "twice"),
        (as_csv(EXAMPLE | {f"x{number}": 1 for number in range(40)}), "columns"),
        (as_csv(EXAMPLE | {"lugar": "Bogotá"}, encoding="latin-1"), "encoding"),
        (as_csv(EXAMPLE, encoding="utf-16")[:-1], "encoding"),
        (as_csv(EXAMPLE) + b'"' + b"x" * 200_000, "csv"),
        (b"PK\x03\x04 a spreadsheet", "packed"),
        (b"\x1f\x8b a compressed file", "packed"),
        (b"PAR1", "parquet"),
        (b"PAR1" + b"\xff" * 1000 + b"PAR1", "parquet"),
        (as_parquet(EXAMPLE)[:-40] + b"PAR1", "parquet"),
        (as_parquet({"a": 1}), "missing"),
        (as_parquet(EXAMPLE | {"Slope": [3]}), "missing"),
        (as_parquet(EXAMPLE | {f"x{number}": 1 for number in range(40)}), "columns"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, reason: str, form: Form) -> None:
    assert refusal(content, form) == reason


def test_more_rows_than_allowed_are_refused(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_ROWS", 3)
    assert len(upload.read("a file", as_csv(*[EXAMPLE] * 3), form).rows) == 3
    assert refusal(as_csv(*[EXAMPLE] * 4), form) == "rows"
    assert len(upload.read("a file", as_parquet(*[EXAMPLE] * 3), form).rows) == 3
    assert refusal(as_parquet(*[EXAMPLE] * 4), form) == "rows"


def bomb_of_rows() -> bytes:
    """Kilobytes that say, and hold, a hundred million rows."""
    zeros = pa.array([0], pa.int32()).take(pa.array([0] * 1000, pa.int64()))
    column = pa.chunked_array([zeros] * 20_000)
    return table_as_parquet(pa.table({"Elevation": column}), compression="zstd")


def bomb_of_words() -> bytes:
    """A megabyte, once in the dictionary and meant by every row."""
    word = pa.array(["x" * 1_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 40_000, pa.int32()), word)
    others = {name: pa.array([EXAMPLE[name]] * 40_000) for name in COLUMNS if name != "Soil_Type"}
    return table_as_parquet(pa.table(others | {"Soil_Type": column}), compression="zstd")


def bomb_of_a_page() -> bytes:
    """One cell of a quarter of a gigabyte, in a few dozen kilobytes."""
    return table_as_parquet(
        pa.table(
            {name: pa.array([EXAMPLE[name]]) for name in COLUMNS} | {"note": pa.array(["x" * 250_000_000])}
        ),
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
    )


@pytest.mark.parametrize(
    ("bomb", "reason"), [(bomb_of_rows, "rows"), (bomb_of_words, "unpacked"), (bomb_of_a_page, "unpacked")]
)
def test_a_bomb_is_refused_and_this_process_stays_small(bomb: Any, reason: str, form: Form) -> None:
    content = bomb()
    assert len(content) < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(content, form) == reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_long_list_of_faults_has_an_end_and_all_are_counted(form: Form) -> None:
    read = upload.read("a file", as_csv(*[EXAMPLE | {"Slope": 99, "Aspect": 999}] * 700), form)
    assert (len(read.faults), read.faulty_rows) == (upload.MOST_FAULTS, 700)


def test_the_true_class_is_taken_by_number_or_name_and_never_asked_for(form: Form) -> None:
    rows = [EXAMPLE | {"Cover_Type": given} for given in ("4", "4.0", "Aspen", "9", "")]
    read = upload.read("a file", as_csv(*rows), form)
    assert [row.truth for row in read.rows] == ["Aspen", "Aspen", "Aspen", None, None]
    assert read.has_truth
    assert read.records(0, 1) == [EXAMPLE]
    assert not upload.read("a file", as_csv(EXAMPLE), form).has_truth


def test_the_template_is_a_file_that_can_be_brought_back(form: Form) -> None:
    read = upload.read("a file", upload.template(form), form)
    assert read.records(0, 9) == [item.example for item in form.classes]


def outcome(number: int) -> Outcome:
    return Outcome(4, "Aspen", 0.87, "3", f"id-{number}")


def test_a_download_has_the_file_s_columns_and_the_answers(form: Form) -> None:
    rows = [EXAMPLE | {"plot": f"P{number}", "label": "mine"} for number in range(3)]
    read = upload.read("a file", as_csv(*rows), form)
    text = upload.with_answers(read, [outcome(0), outcome(1)]).decode("utf-8-sig")
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {
        "row": "2",
        "prediction": "4",
        "label": "Aspen",
        "probability": "0.8700",
        "model_version": "3",
        "prediction_id": "id-0",
        **{name: str(value) for name, value in EXAMPLE.items()},
        "plot": "P0",
    }
    assert second["row"] == "3"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-173", "-173"),
        ("-0.5", "-0.5"),
        ("+7", "+7"),
        ("-1e-3", "-1e-3"),
        ("plain", "plain"),
    ],
)
def test_no_cell_of_a_download_is_a_formula_and_numbers_stay_numbers(
    cell: str, written: str, form: Form
) -> None:
    read = upload.read("a file", as_csv(EXAMPLE | {cell: cell}), form)
    text = upload.with_answers(read, [outcome(0)]).decode("utf-8-sig")
    header, line = csv.reader(io.StringIO(text, newline=""))
    assert line[-1] == written
    # Names of columns are cells too; blanks around them are not kept.
    assert header[-1] == (written if cell == cell.strip() else cell.strip().join(["'", ""]))
    assert line[header.index("Vertical_Distance_To_Hydrology")] == "-12"
