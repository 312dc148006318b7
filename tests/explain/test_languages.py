"""Translations: complete, found again in what the program says, and harmless to what strangers wrote."""

import re

import pytest
from hostile import NAME, assert_escaped
from markupsafe import Markup

from fusion_dfd import config
from fusion_dfd.explain import languages, sentences
from fusion_dfd.predict import warnings

PLACES = re.compile(r"\{(\w+)\}")
SAID = [
    warnings.RENDERED,
    warnings.UNKNOWN,
    warnings.NO_RUN,
    warnings.UNCALIBRATED,
    *sentences.CHECKS,
    *sentences.ALWAYS_UNKNOWN,
    *sentences.UNKNOWN_ODDS,
    sentences.UNKNOWN_ALARMS,
    sentences.OTHER_ALARMS,
    *sentences.CREDENTIALS.values(),
    *sentences.SAID.values(),
    *(sentences.branch(name) for name in sentences.BRANCHES),
]


def test_every_sentence_is_in_every_language_with_the_same_places():
    for english, row in languages.sentences().items():
        assert row.keys() == languages.LANGUAGES.keys()
        assert row["en"] == english
        for text in row.values():
            assert text.strip()
            assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(english)), english


@pytest.mark.parametrize("text", SAID)
def test_what_is_said_of_any_video_has_a_translation(text):
    assert all(languages.translated(text, code) for code in languages.LANGUAGES)


def test_a_sentence_is_found_again_with_what_stands_in_its_places():
    said = "It calls the face forged: an uncalibrated probability of above 0.99, above the threshold of 0.50."
    assert languages.translated(said, "en") == said
    german = languages.translated(said, "de")
    assert "einer nicht kalibrierten Wahrscheinlichkeit von über 0,99" in german
    assert german.endswith("Schwelle von 0,50.")


def test_parts_that_are_joined_are_told_one_by_one():
    said = "face 1 of 2 speaks for the video; 3 damaged packets were left out"
    french = "le visage 1 sur 2 décide pour la vidéo; 3 paquets endommagés ont été omis"
    assert languages.translated(said, "fr") == french
    assert languages.translated(f"{said}; what nobody translated", "fr") is None


def test_what_has_no_translation_stays_and_is_escaped():
    assert languages.told("what nobody translated") == "what nobody translated"
    assert_escaped(languages.told(NAME))
    assert_escaped(languages.told(f"Why nothing firmer is said: {NAME}."))


def test_labels_of_a_figure_are_told():
    figure = Markup('<svg><text x="1">real videos</text><text>0.5</text><text>5</text><text>&lt;b&gt;</text></svg>')
    drawn = languages.drawn(figure)
    assert '<text x="1"><tspan class="told" lang="en">real videos</tspan>' in drawn
    assert '<tspan class="told" lang="de">echte Videos</tspan>' in drawn
    assert '<text><tspan class="told" lang="en">0.5</tspan><tspan class="told" lang="de">0,5</tspan>' in drawn
    assert "<text>5</text><text>&lt;b&gt;</text>" in drawn


@pytest.mark.parametrize(
    ("english", "german", "french"),
    [
        ("0.5", "0,5", "0,5"),
        ("1,234,567", "1.234.567", "1\u202f234\u202f567"),
        ("0.123  (\u22120.05)", "0,123  (\u22120,05)", "0,123  (\u22120,05)"),
        ("12.5%", "12,5\u202f%", "12,5\u202f%"),
        ("1,234 bytes", "1.234 Byte", "1\u202f234 octets"),
        ("1.2 to 3.4 s (0.98)", "1,2 bis 3,4 s (0,98)", "1,2 à 3,4 s (0,98)"),
    ],
)
def test_numbers_are_written_as_the_language_does(english, german, french):
    assert languages.translated(english, "en") == english
    assert (languages.translated(english, "de"), languages.translated(english, "fr")) == (german, french)


@pytest.mark.parametrize("text", ["1.2.3", "v0.5", "1e-05", "2026-11-29", ""])
def test_what_only_looks_like_a_number_stays(text):
    assert languages.translated(text, "de") is None


def test_what_is_html_already_is_nobody_s_sentence():
    assert languages.told(Markup("12 frames")) == "12 frames"


@pytest.mark.parametrize(
    "text", [*config.RULES.values(), *config.TRACKS.values(), *config.TARGETS.values(), *config.CALIBRATIONS.values()]
)
def test_words_of_options_that_a_page_shows_have_a_translation(text):
    said = {"temperature": "temperature 1.500", "temperature and offset": "temperature and offset 1.500 and +0.100"}
    said |= {"isotonic regression": "isotonic regression of 12 knots"}
    assert languages.translated(said.get(text, text), "fr") != text


def test_a_long_name_costs_no_time():
    text = "the model alone says " * 200 + ": " + "s to " * 200
    assert languages.translated(text, "de") is None
