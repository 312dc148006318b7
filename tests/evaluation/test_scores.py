"""Tables of scores: round trips, and videos that stay apart."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fusion_dfd import config
from fusion_dfd.evaluation import scores
from fusion_dfd.types import DataError, Score

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, st.floats(allow_nan=False)), max_size=5))
def test_csv_round_trip_is_exact(tmp_path, rows):
    table = [Score(f"d/m/c/{name}", 1, 0, "d", name, "", 'g,"1"', 1, logit, 7) for name, logit in rows]
    path = tmp_path / "scores.csv"
    scores.write_csv(path, table)
    assert scores.read_csv(path) == table


@pytest.mark.parametrize("kind", [Score, scores.FrameScore, scores.VideoScore])
def test_round_trip_of_every_kind(tmp_path, make, kind):
    clips = make.table()
    rows = {Score: clips, scores.FrameScore: make.frames(clips), scores.VideoScore: scores.videos(clips)}[kind]
    path = tmp_path / "new" / "table.csv"
    scores.write_csv(path, rows, kind)
    assert scores.read_csv(path, kind) == rows
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def test_float32_logits_and_nan_survive(tmp_path, make):
    rows = [make.score(np.float32(0.1)), make.score(float("nan"), name="001"), make.score(-np.inf, name="002")]
    back = scores.read_csv(scores.write_csv(tmp_path / "s.csv", rows))
    np.testing.assert_array_equal([row.logit for row in back], [np.float32(0.1), np.nan, -np.inf])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [lines[0].replace("clip", "clop"), *lines[1:]], "first line"),
        (lambda lines: [], "first line"),
        (lambda lines: [*lines[:2], lines[2][:20]], r"line 3: \d values where 13 belong"),
        (lambda lines: [*lines[:2], lines[2].replace(",0,0,ff", ",zero,0,ff")], "line 3: clip is 'zero', want int"),
        (lambda lines: [lines[0], lines[1].replace("1.5", "much")], "line 2: logit is 'much', want float"),
        (lambda lines: [lines[0], lines[1].replace(",0,1.5", ",7,1.5")], "line 2: label is 7"),
    ],
)
def test_bad_rows_are_named(tmp_path, make, change, words):
    path = tmp_path / "s.csv"
    scores.write_csv(path, [make.score(1.5), make.score(1.5, name="001")])
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(DataError, match=words) as error:
        scores.read_csv(path)
    assert str(path) in str(error.value)


def test_tables_of_earlier_versions_lack_columns_that_have_a_default(tmp_path, make):
    path = tmp_path / "s.csv"
    scores.write_csv(path, [make.score(1.5)])
    path.write_text("\n".join(line.rsplit(",", 3)[0] for line in path.read_text().splitlines()) + "\n")
    assert path.read_text().startswith("video,clip,track,dataset,method,compression,group,label,logit,start\n")
    assert scores.read_csv(path) == [make.score(1.5)]


def test_unreadable_files_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"no\.csv"):
        scores.read_csv(tmp_path / "no.csv")
    (tmp_path / "video.csv").write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(DataError, match=r"video\.csv"):
        scores.read_csv(tmp_path / "video.csv")
    with pytest.raises(DataError, match="cannot write"):
        scores.write_csv(tmp_path / "video.csv" / "inside.csv", [])


def test_a_failed_write_leaves_the_old_file(tmp_path, make, monkeypatch):
    path = tmp_path / "s.csv"
    scores.write_csv(path, [make.score(1.0)])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        scores.write_csv(path, [make.score(2.0)])
    assert scores.read_csv(path) == [make.score(1.0)]
    assert list(tmp_path.iterdir()) == [path]


def test_methods_that_share_a_file_name_stay_apart(make):
    rows = [make.score(n, method, "000_003") for n, method in enumerate(make.methods)]
    videos = scores.videos(rows)
    assert [video.method for video in videos] == list(make.methods)
    assert [video.probability for video in videos] == pytest.approx([1 / (1 + np.exp(-n)) for n in range(4)])


def test_keys_that_are_file_names_are_refused(make):
    with pytest.raises(DataError, match="file name alone"):
        scores.videos([make.score(0.0, method, video="000_003.mp4") for method in make.methods[:1]])


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        ("mean_probability", (1 / (1 + np.exp(2)) + 1 / (1 + np.exp(-4))) / 2),
        ("mean_logit", 1 / (1 + np.exp(-1))),
        ("max", 1 / (1 + np.exp(-4))),
    ],
)
def test_rules(make, rule, want):
    rows = [make.score(-2.0, clip=0), make.score(4.0, clip=1), make.score(9.0, clip=0, track=1)]
    (video,) = scores.videos(rows, rule)
    assert video.probability == pytest.approx(want)
    assert video.windows == 2


def test_every_rule_is_symmetric_in_the_clips_and_within_them(make, rng):
    rows = [make.score(float(logit), clip=n) for n, logit in enumerate(rng.normal(size=6))]
    for rule in config.RULES:
        (video,), (again,) = scores.videos(rows, rule), scores.videos(rows[::-1], rule)
        assert video.probability == pytest.approx(again.probability)
        ends = scores.probability([min(r.logit for r in rows), max(r.logit for r in rows)])
        assert ends[0] <= video.probability <= ends[1]
    with pytest.raises(DataError, match="mean_probability, mean_logit, max"):
        scores.videos(rows, "median")


def test_one_forged_second_in_ten_is_found_by_the_most_suspicious_windows(make):
    """Nine windows of ten are untouched. Two of the real videos look a little suspicious all the time."""
    real = [[level] * 10 for level in (-4, -4, -1.5, -1)]
    fake = [[-4] * 9 + [3], [-4.5] * 9 + [4]]
    rows = [make.score(x, name=f"{n:03d}", clip=k) for n, own in enumerate(real) for k, x in enumerate(own)]
    rows += [make.score(x, "FaceSwap", f"1{n:02d}", k) for n, own in enumerate(fake) for k, x in enumerate(own)]
    assert scores.choose_rule(rows, "first") == "max"

    def probabilities(rule):
        return {label: [row.probability for row in scores.videos(rows, rule) if row.label == label] for label in (0, 1)}

    for rule in ("top_2", "top_4", "soft_1", "soft_4", "attention"):
        found = probabilities(rule)
        assert min(found[1]) > max(probabilities("mean_probability")[1])
        assert (min(found[1]) > max(found[0])) == (rule != "top_4"), "three windows of four are untouched"
    assert max(probabilities("mean_probability")[1]) < max(probabilities("mean_probability")[0])


def test_rules_by_hand(make):
    rows = [make.score(x, clip=k) for k, x in enumerate([-1.0, 0.0, 2.0])]
    p = scores.probability([-1.0, 0.0, 2.0])
    want = {
        "top_2": (p[1] + p[2]) / 2,
        "top_4": p.mean(),
        "soft_1": scores.probability(np.log(np.exp([-1.0, 0.0, 2.0]).mean())),
        "soft_4": scores.probability(np.log(np.exp([-4.0, 0.0, 8.0]).mean()) / 4),
        "attention": (p * np.exp([-1.0, 0.0, 2.0])).sum() / np.exp([-1.0, 0.0, 2.0]).sum(),
    }
    for rule, probability in want.items():
        assert scores.videos(rows, rule)[0].probability == pytest.approx(probability)


def test_a_nan_clip_makes_a_nan_video(make):
    for rule in config.RULES:
        (video,) = scores.videos([make.score(1.0), make.score(np.nan, clip=1)], rule)
        assert np.isnan(video.probability)


@pytest.mark.parametrize("change", [{"label": 1}, {"group": "x"}, {"compression": "c40"}])
def test_clips_of_a_video_must_agree(make, change):
    row = make.score(1.0)
    with pytest.raises(DataError, match="disagree"):
        scores.videos([row, dataclasses.replace(row, clip=1, **change)])


def test_a_clip_scored_twice_is_refused(make):
    with pytest.raises(DataError, match="scored twice"):
        scores.videos([make.score(1.0), make.score(1.0)])
    assert scores.videos([make.score(1.0), make.score(1.0, start=8)])[0].windows == 2


def test_probability_is_the_sigmoid_everywhere():
    logits = np.array([-800.0, -30.0, 0.0, 2.0, 800.0])
    with np.errstate(over="ignore"):
        want = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(scores.probability(logits), want, rtol=1e-12)
