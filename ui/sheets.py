"""Tables and chips as HTML, every word escaped: real tables for screen readers, cards on a phone."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import streamlit as st

from texts import Texts

STYLE = Path(__file__).parent / "assets" / "sheets.css"


class Tone(StrEnum):
    """How a chip looks; each has a sign of its own, so that colour is never alone in saying it."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"
    PLAIN = "plain"
    UNKNOWN = "unknown"


SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✕", Tone.WAIT: "…", Tone.PLAIN: "", Tone.UNKNOWN: "?"}


@dataclass(frozen=True)
class Chip:
    """A word or two in a pill."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Cell:
    """One cell: chips, then text, then a small note; numbers stand to the right, `share` (0..1) is a bar.

    `language` is that of words which are not in the page's.
    """

    text: str = ""
    chips: Sequence[Chip] = ()
    note: str = ""
    number: bool = False
    share: float | None = None
    language: str = ""


def style() -> None:
    """What tables and chips look like; once on every page that shows them."""
    st.html(STYLE)


def show_table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, small: bool = False
) -> None:
    """A table whose first cell of a row names the row; `caption` is read, not seen: a heading is above.

    A `small` one, of few and short columns, stays a table on a phone, where others become cards.
    """
    st.html(table(caption, heads, rows, small=small))


def show_newest(
    t: Texts, caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], in_sight: int
) -> None:
    """The first lines of a table, and the others folded away below."""
    show_table(caption, heads, rows[:in_sight])
    if older := rows[in_sight:]:
        with st.expander(t("older", count=len(older))):
            show_table(caption, heads, older)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, small: bool = False) -> str:
    """The table as HTML. Roles are named: what is drawn as cards is still read as a table."""
    columns = zip(heads, rows[0] if rows else [Cell()] * len(heads), strict=True)
    line = "".join(
        f'<th role="columnheader" scope="col"{_kind(cell)}>{html.escape(head)}</th>' for head, cell in columns
    )
    body = "".join(f'<tr role="row">{_line(heads, row)}</tr>' for row in rows)
    return (
        f'<table class="sheet {"" if small else "cards"}" role="table">'
        f"<caption>{html.escape(caption)}</caption>"
        f'<thead role="rowgroup"><tr role="row">{line}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def chip(what: Chip) -> str:
    """A chip as HTML; its sign is for the eye, its word for everybody."""
    sign = SIGNS[what.tone]
    mark = f'<span aria-hidden="true">{sign}</span> ' if sign else ""
    return f'<span class="chip {what.tone}">{mark}{html.escape(what.text)}</span>'


def _line(heads: Sequence[str], row: Sequence[Cell]) -> str:
    cells = []
    for place, (head, cell) in enumerate(zip(heads, row, strict=True)):
        tag, role = ("th", 'rowheader" scope="row') if place == 0 else ("td", "cell")
        label = html.escape(head, quote=True)
        start = f'<{tag} role="{role}" data-label="{label}"{_kind(cell)}>'
        cells.append(f"{start}<div>{_content(cell)}</div></{tag}>")
    return "".join(cells)


def _kind(cell: Cell) -> str:
    return ' class="number"' if cell.number else ""


def _content(cell: Cell) -> str:
    language = f' lang="{cell.language}"' if cell.language else ""
    parts = [" ".join(chip(what) for what in cell.chips)]
    if cell.text:
        parts.append(f"<span{language}>{html.escape(cell.text)}</span>")
    if cell.share is not None:
        parts.append(f'<span class="bar" style="width:{100 * cell.share:.1f}%"></span>')
    if cell.note:
        parts.append(f"<small>{html.escape(cell.note)}</small>")
    return " ".join(part for part in parts if part)
