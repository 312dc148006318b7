"""A name that would run a program in a page that does not escape it."""

import html

NAME = '<img src=x onerror=1>&"'


def assert_escaped(text: str, times: int = 1) -> None:
    """The page shows NAME at least so many times, and never as a tag."""
    assert "<img src=x" not in text
    assert NAME not in text
    assert html.unescape(text).count(NAME) >= times
