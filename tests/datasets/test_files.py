import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion_dfd.datasets import files
from fusion_dfd.types import DataError

fuzzed = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The temporary folder is shared by all examples of a test: each writes its own file anew."""

texts = st.text(st.characters(codec="utf-8"), max_size=60)


@fuzzed
@given(
    st.binary(max_size=60) | texts.map(str.encode) | st.text('path,lbe\n\r"\ufeff;\0 1', max_size=40).map(str.encode)
)
def test_any_content_is_rows_or_one_sentence(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    for read in (lambda: files.read_csv(str(path), ("path", "label")), lambda: files.read_json(str(path))):
        try:
            assert read()
        except DataError as error:
            text = str(error)
            assert str(path) in text
            assert len(text.splitlines()) == 1


@fuzzed
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_spreadsheet_writes_is_read(tmp_path, rows, end, mark):
    rows = [tuple("".join(field.split()) or "x" for field in row) for row in rows]
    lines = [("path", "label"), *rows]
    quoted = [",".join('"' + field.replace('"', '""') + '"' for field in line) for line in lines]
    path = tmp_path / "a.csv"
    path.write_bytes(("\ufeff" * mark + end.join(quoted) + end).encode())
    assert files.read_csv(str(path), ("path", "label")) == [dict(zip(lines[0], row, strict=True)) for row in rows]


def test_only_objects_of_objects_describe_videos(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a.mp4": {"label": "REAL"}}))
    assert files.read_json(str(path)) == {"a.mp4": {"label": "REAL"}}
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"a.json is no JSON"):
        files.read_json(str(path))
