"""Tables in Markdown and in LaTeX, from the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
}


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A table in the dialect of GitHub, without a newline at its end; ``|`` in a cell is escaped.

    Args:
      header: names of the columns.
      rows: cells as text, as many in each row as there are columns.
      text_columns: this many columns are aligned to the left, the others to the right, as numbers are.
    """
    ruler = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join([_line(header), f"|{'|'.join(ruler)}|", *map(_line, rows)])


def latex(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """The same table as a ``tabular`` with the rules of the package booktabs; special characters are escaped."""
    columns = "l" * text_columns + "r" * (len(header) - text_columns)
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([begin, r"\toprule", _row(header), r"\midrule", *map(_row, rows), r"\bottomrule", end])


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _row(cells: Sequence[str]) -> str:
    return " & ".join("".join(_ESCAPED.get(mark, mark) for mark in cell) for cell in cells) + r" \\"
