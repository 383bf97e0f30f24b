"""Every word that the page shows, one file per language; numbers and times written the language's way."""

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("es", "en")
FALLBACK = "en"


class Texts:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        source = Path(__file__).parent / f"{language}.toml"
        self._texts = flat(tomllib.loads(source.read_text(encoding="utf-8")))

    def __call__(self, key: str, **values: object) -> str:
        """The text with that key, its placeholders filled; raises KeyError when one is missing."""
        shown = {name: self._shown(value) for name, value in values.items()}
        return self._texts[key].format_map(shown)

    def get(self, key: str, otherwise: str) -> str:
        """The text with that key, or `otherwise` for what the API names and the texts do not."""
        return self._texts.get(key, otherwise)

    def decimal(self, number: float, digits: int) -> str:
        """A number with that many decimals."""
        text = f"{number:.{digits}f}"
        return text.replace(".", ",") if self.language == "es" else text

    def percent(self, share: float) -> str:
        """A share (0..1) in percent, one decimal."""
        sign = "\N{NO-BREAK SPACE}%" if self.language == "es" else "%"
        return self.decimal(share * 100, 1) + sign

    def whole(self, number: int | None) -> str:
        """A whole number with its thousands apart; the word for unknown when there is none."""
        if number is None:
            return self("unknown")
        text = f"{number:,}"
        return text.replace(",", ".") if self.language == "es" else text

    def difference(self, number: float, digits: int) -> str:
        """A number with its sign, also when it is positive."""
        sign = "\N{MINUS SIGN}" if number < 0 else "+"
        return sign + self.decimal(abs(number), digits)

    def span(self, seconds: float) -> str:
        """How long that is, in its two greatest units; both languages write them alike."""
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        if days:
            text = f"{days} d {hours} h"
        elif hours:
            text = f"{hours} h {minutes} min"
        else:
            text = f"{minutes} min {rest} s" if minutes else f"{rest} s"
        return text.replace(" ", "\N{NO-BREAK SPACE}")

    def moment(self, moment: datetime | None, zone: tzinfo) -> str:
        """Date and time in the reader's zone; the word for unknown when there is none."""
        return self("unknown") if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"

    def _shown(self, value: object) -> str:
        # A minus sign, not a hyphen: it is read and wrapped as part of the number.
        return f"\N{MINUS SIGN}{-value}" if isinstance(value, int) and value < 0 else str(value)


@cache
def texts_of(language: str) -> Texts:
    """The texts of a language of LANGUAGES."""
    return Texts(language)


def language_of(locale: str | None) -> str:
    """The page's language for a browser's locale such as "es-CO": Spanish for Spanish, else English."""
    language = (locale or "").split("-")[0].lower()
    return language if language in LANGUAGES else FALLBACK


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as one level of dotted keys."""
    texts: dict[str, str] = {}
    for name, value in tree.items():
        texts |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return texts


def plain(words: str) -> str:
    """Words from outside with Markdown's signs escaped, so that they are shown as they came."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!$:|~<>&])", r"\\\1", " ".join(words.split()))
