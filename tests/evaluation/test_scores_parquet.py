import sys

import numpy as np
import pytest

from fusion_dfd.evaluation import scores, summary
from fusion_dfd.reports import evaluation_page
from fusion_dfd.types import DataError, Score


@pytest.mark.extras
@pytest.mark.parametrize("kind", [Score, scores.FrameScore, scores.VideoScore])
def test_round_trip_of_every_kind(tmp_path, make, kind):
    pytest.importorskip("pyarrow")
    clips = [*make.table(), make.score(-np.inf, name="777")]
    rows = {Score: clips, scores.FrameScore: make.frames(clips), scores.VideoScore: scores.videos(clips)}[kind]
    columns = scores.read_parquet(scores.write_parquet(tmp_path / "new" / "table.parquet", rows, kind))
    back = [kind(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
    assert back == rows


@pytest.mark.extras
def test_a_file_that_is_no_table_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet table"):
        scores.read_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"b\.parquet"):
        scores.read_parquet(tmp_path / "b.parquet")


def test_without_pyarrow_csv_is_written_and_it_is_said(tmp_path, make, monkeypatch):
    monkeypatch.setattr(evaluation_page, "parquet_available", lambda: False)
    clips = make.table()
    path = evaluation_page.write(tmp_path, summary.summarise(clips, bootstrap=0), clips)
    assert not list(tmp_path.glob("*.parquet"))
    assert (tmp_path / "scores.csv").is_file()
    with open(path, encoding="utf-8") as file:
        assert "fusion-dfd[parquet]" in file.read()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"need pyarrow \(pip install"):
        scores.write_parquet(tmp_path / "a.parquet", clips)
