"""The page of a video in several languages, of which its reader chooses one.

English is what the program says. ``languages.json`` has its sentences, with places for what differs in braces, and
their translations. :func:`told` finds the sentence that a text was made from and sets all languages side by side; the
style sheet shows the chosen one. No script runs on a page. A text that is not in the file stays English.
"""

from __future__ import annotations

import functools
import html
import json
import pathlib
import re

from markupsafe import Markup, escape

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}
"""By code, the first is that of the program."""
_FILE = pathlib.Path(__file__).with_name("languages.json")
_PLACE = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"[(+\-\u2212]*\d+(,\d{3})*(\.\d+)?(%?)\)?")
_MARKS = {"de": str.maketrans(",.", ".,"), "fr": str.maketrans(",.", "\u202f,")}
"""How a language writes the marks between thousands and before decimals."""
_LABEL = re.compile(r"(<text\b[^>]*>)([^<]+)(</text>)")


@functools.cache
def sentences() -> dict[str, dict[str, str]]:
    """Translations by English sentence and language."""
    rows = json.loads(_FILE.read_text(encoding="utf-8"))
    return {row["en"]: {code: row[code] for code in LANGUAGES} for row in rows}


def told(text: str) -> Markup:
    """A text in all languages, as HTML; a text without translation, and one that is HTML already, as it is."""
    return text if isinstance(text, Markup) else _side_by_side(text, "span")


def drawn(figure: Markup) -> Markup:
    """A figure, its labels in all languages."""

    def label(found: re.Match) -> str:
        return f"{found[1]}{_side_by_side(html.unescape(found[2]), 'tspan')}{found[3]}"

    return Markup(_LABEL.sub(label, str(figure)))


def translated(text: str, code: str) -> str | None:
    """A text in one language; None where there is no translation. Parts of it that are sentences are translated too.

    A number, or several in a row, is written as the language does.
    """
    if text in sentences():
        return sentences()[text][code]
    if text and all(map(_NUMBER.fullmatch, text.split())):
        return text if code == "en" else text.translate(_MARKS[code]).replace("%", "\u202f%")
    for between in ("; ", ", "):  # how reasons and kinds of evidence are joined
        if between in text:
            found = [translated(part, code) for part in text.split(between)]
            if None not in found:
                return between.join(found)
    for pattern, row in _patterns():
        if match := pattern.fullmatch(text):
            values = {name: _value(value, code) for name, value in match.groupdict().items()}
            if None not in values.values():
                return row[code].format(**values)
    return None


@functools.cache
def _patterns() -> list[tuple[re.Pattern, dict[str, str]]]:
    """Of the sentences with places, those with the most fixed characters first."""
    open_ones = [english for english in sentences() if _PLACE.search(english)]
    open_ones.sort(key=lambda english: -len(_PLACE.sub("", english)))
    return [(_pattern(english), sentences()[english]) for english in open_ones]


def _pattern(english: str) -> re.Pattern:
    parts = _PLACE.split(english)  # fixed text and names in turn
    fixed = [re.escape(part) for part in parts[::2]]
    places = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile("".join(sum(zip(fixed, [*places, ""], strict=True), ())), re.DOTALL)


def _value(value: str, code: str) -> str | None:
    """What stands in a place: something that has a translation, a number, or a single word; None for anything else."""
    known = translated(value, code)
    return known if known is not None or any(map(str.isspace, value)) else value


def _side_by_side(text: str, element: str) -> Markup:
    versions = {code: translated(text, code) for code in LANGUAGES}
    if None in versions.values() or len(set(versions.values())) == 1:
        return escape(text)
    return Markup("").join(
        Markup('<{0} class="told" lang="{1}">{2}</{0}>').format(Markup(element), code, version)
        for code, version in versions.items()
    )
