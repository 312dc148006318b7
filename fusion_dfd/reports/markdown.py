"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A table in the dialect of GitHub, without a newline at its end; ``|`` in a cell is escaped.

    Args:
      header: names of the columns.
      rows: cells as text, as many in each row as there are columns.
      text_columns: this many columns are aligned to the left, the others to the right, as numbers are.
    """
    ruler = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join([_line(header), f"|{'|'.join(ruler)}|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
