"""Both languages say the same things."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import texts
from client import Kind
from texts import LANGUAGES, flat, language_of, plain, texts_of

FOLDER = Path(texts.__file__).parent
ALL = {name: flat(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))) for name in LANGUAGES}


def test_the_languages_have_the_same_texts_with_the_same_placeholders() -> None:
    placeholders = {
        name: {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in every.items()}
        for name, every in ALL.items()
    }
    assert placeholders["es"] == placeholders["en"]
    for every in ALL.values():
        assert {key for key, text in every.items() if not text} <= {"units.index"}


def test_every_text_that_the_code_names_exists_and_no_other() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.parent.rglob("*.py")))
    named = {key for key in ALL["en"] if f'"{key}"' in source or f"'{key}'" in source}
    families = {"problem", "fault", "metrics", "groups", "units", "fields", "help", "classes", "about"}
    families |= {"decision", "moved", "health", "run", "role", "advice"}
    families |= {"file_problem", "row_fault"}
    assert {key for key in ALL["en"] if key.split(".")[0] not in families} <= named
    assert set(re.findall(r"""\bt\(\s*["']([\w.]+)["']""", source)) <= set(ALL["en"])
    assert {f"problem.{kind}" for kind in Kind} == {key for key in ALL["en"] if key.startswith("problem.")}


@pytest.mark.parametrize(
    ("locale", "language"),
    [("es-CO", "es"), ("es", "es"), ("en-GB", "en"), ("fr-FR", "en"), ("", "en"), (None, "en")],
)
def test_the_browser_chooses_the_language(locale: str | None, language: str) -> None:
    assert language_of(locale) == language


def test_numbers_and_times_are_written_the_language_s_way() -> None:
    spanish, english = texts_of("es"), texts_of("en")
    assert (spanish.percent(0.934), english.percent(0.934)) == ("93,4\N{NO-BREAK SPACE}%", "93.4%")
    moment = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)
    assert english.moment(moment, ZoneInfo("America/Bogota")) == "2026-11-23 15:05"
    assert english.moment(None, UTC) == "unknown"
    assert english("predict.range", minimum=-173, maximum=601, unit="") == "\N{MINUS SIGN}173 to 601"


def test_words_from_outside_cannot_be_markup() -> None:
    assert plain("[a](b) :red[x]\n<b>") == r"\[a\]\(b\) \:red\[x\] \<b\>"
