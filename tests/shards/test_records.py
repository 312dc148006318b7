import dataclasses

import cv2
import numpy as np
import pytest
import synthetic_tracks
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_dfd.shards import clip_index, records, tfds_metadata
from fusion_dfd.types import DataError, Stretches, Video

VIDEO = Video("071_054", "Deepfakes/071_054.mp4", 1, "faceforensics", "Deepfakes", "c23", "train", "054_071", "071")


def test_every_field_survives():
    face = synthetic_tracks.track(3, length=4, start=17, number=2)
    clip = records.decode(records.encode(VIDEO, 5, face, "mtcnn"))
    assert (clip.video, clip.clip, clip.track, clip.detector, len(clip)) == (VIDEO, 5, 2, "mtcnn", 4)
    for name in ("landmarks", "boxes", "scores", "indices", "transform"):
        stored, given_ = getattr(clip, name), getattr(face, name)
        np.testing.assert_array_equal(stored, given_)
        assert (stored.dtype, stored.shape) == (given_.dtype, given_.shape)


@settings(max_examples=30, deadline=None)
@given(st.builds(Video, *[st.text(max_size=20)] * 2, st.sampled_from([0, 1]), *[st.text(max_size=20)] * 6))
def test_any_text_survives(video):
    assert records.decode(records.encode(video, 0, synthetic_tracks.track(0, 1), "d")).video == video


def test_serialisation_is_deterministic_and_depends_on_each_argument():
    face = synthetic_tracks.track(0)
    calls = [
        (VIDEO, 0, face, "mtcnn"),
        (dataclasses.replace(VIDEO, group="x"), 0, face, "mtcnn"),
        (VIDEO, 1, face, "mtcnn"),
        (VIDEO, 0, synthetic_tracks.track(1), "mtcnn"),
        (VIDEO, 0, face, "other"),
        (VIDEO, 0, face, "mtcnn", 80),
    ]
    assert len({records.encode(*call) for call in calls * 2}) == len(calls)


def test_frames_are_colour_true_jpeg_without_chroma_subsampling():
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[0, :, ::2, 0] = 255  # red columns, one pixel wide: 4:2:0 would smear them
    frames[1, :, :, 2] = 200
    files = records.encode_frames(frames)
    assert [file[:2] for file in files] == [b"\xff\xd8"] * 2
    at = files[0].index(b"\xff\xc0")  # SOF0: marker, length, precision, h, w, components, then (id, sampling, table)
    assert files[0][at + 11] == 0x11
    decoded = records.decode_frames(files)
    assert (decoded.dtype, decoded.shape) == (np.uint8, frames.shape)
    assert np.abs(decoded.astype(int) - frames).max() <= 12
    bgr = cv2.imdecode(np.frombuffer(files[0], np.uint8), cv2.IMREAD_COLOR_BGR)
    np.testing.assert_array_equal(bgr[..., ::-1], decoded[0])


def test_the_schema_told_to_tfds_is_the_schema_written():
    keys = set(records._Example.FromString(records.encode(VIDEO, 0, synthetic_tracks.track(0), "d")).features.feature)
    assert keys == records._KEYS
    assert {*keys, "contiguous", "stretches", "forged"} == set(tfds_metadata.features()["featuresDict"]["features"])


def test_forged_stretches_are_a_label_for_each_frame():
    video = dataclasses.replace(VIDEO, stretches=Stretches.of([(19, 20.4), (22.6, 30)]))
    record = records.encode(video, 0, synthetic_tracks.track(3, length=8, start=17), "d")
    clip = records.decode(record)
    assert clip.video.stretches.spans == pytest.approx(np.array(video.stretches.spans), abs=1e-5)
    assert clip.forged.tolist() == [0, 0, 1, 0, 0, 0, 1, 1], "frame 22 is forged for less than half of its time"
    assert records.decode_part(record, slice(1, 4)).forged.tolist() == [0, 1, 0]
    assert clip_index.describe(record)["forged"] == 3
    assert Stretches.parse(clip_index.describe(record)["stretches"]).spans == pytest.approx(
        np.array(video.stretches.spans), abs=1e-5
    )
    whole = records.encode(VIDEO, 0, synthetic_tracks.track(3, length=8), "d")
    assert records.decode(whole).forged is records.decode(whole).video.stretches is None
    assert records.decode_part(whole, slice(3)).forged.tolist() == [1, 1, 1]
    assert (clip_index.describe(whole)["forged"], clip_index.describe(whole)["stretches"]) == (8, "")


def test_a_record_says_where_frames_are_not_consecutive_and_old_ones_are_judged_by_their_numbers():
    face = synthetic_tracks.track(3, length=4)
    for one, expected in (
        (face, True),
        (dataclasses.replace(face, contiguous=False), False),
        (dataclasses.replace(face, indices=face.indices * 3), False),
    ):
        record = records.encode(VIDEO, 0, one, "d")
        assert records.decode(record).contiguous is records.decode_part(record, slice(2)).contiguous is expected


def test_a_mesh_is_a_field_of_its_own_and_all_else_stays_as_it_is():
    face = synthetic_tracks.meshed(3, length=4)
    record = records.encode(VIDEO, 0, face, "d")
    fields = records._Example.FromString(record).features.feature
    assert set(fields) == {*records._KEYS, "mesh"}
    assert {*fields, "contiguous", "stretches", "forged"} == set(
        tfds_metadata.features(True)["featuresDict"]["features"]
    )
    whole = records.decode(record)
    np.testing.assert_array_equal(whole.mesh, face.mesh)
    assert whole.mesh.dtype == np.float32
    np.testing.assert_array_equal(records.decode_part(record, slice(1, 3), mesh=True).mesh, face.mesh[1:3])
    assert records.decode_part(record, slice(1, 3)).mesh is None
    without = records.encode(VIDEO, 0, dataclasses.replace(face, mesh=None), "d")
    assert records.decode(without).mesh is records.decode_part(without, slice(2), mesh=True).mesh is None
    message = records._Example.FromString(record)
    del message.features.feature["mesh"]
    assert message.SerializeToString(deterministic=True) == without


def test_a_mesh_of_another_size_is_one_sentence():
    message = records._Example.FromString(records.encode(VIDEO, 0, synthetic_tracks.meshed(0), "d"))
    message.features.feature["mesh"].bytes_list.value[0] = bytes(8)
    with pytest.raises(DataError, match="prepare the folder again"):
        records.decode(message.SerializeToString())


def test_message_bytes_are_those_of_tensorflow():
    message = records._Example()
    message.features.feature["a"].int64_list.value.extend([1, -2])
    message.features.feature["b"].float_list.value.append(0.5)
    message.features.feature["c"].bytes_list.value.append(b"x")
    # tf.train.Example (2.21.0), serialised deterministically
    golden = "0a310a140a0161120f1a0d0a0b01feffffffffffffffff010a0d0a0162120812060a040000003f0a0a0a016312050a030a0178"
    assert message.SerializeToString(deterministic=True).hex() == golden


@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 9), slice(7, 9), slice(None)])
def test_a_part_of_a_record_is_that_part_of_the_whole(part):
    record = records.encode(VIDEO, 0, synthetic_tracks.track(0), "mtcnn")
    whole, found = records.decode(record), records.decode_part(record, part)
    assert found.count == len(whole)
    assert found.frames == whole.frames[part]
    np.testing.assert_array_equal(found.landmarks, whole.landmarks[part])


@pytest.mark.parametrize("read", [records.decode, lambda record: records.decode_part(record, slice(1))])
@pytest.mark.parametrize("record", [b"", b"\x00", b"no protobuf at all", records._Example().SerializeToString()])
def test_a_record_of_something_else_is_one_sentence(record, read):
    with pytest.raises(DataError, match="prepare the folder again"):
        read(record)


@pytest.mark.parametrize("name", ["landmarks", "boxes", "scores", "transform"])
def test_a_record_with_too_few_numbers_is_one_sentence(name):
    message = records._Example.FromString(records.encode(VIDEO, 0, synthetic_tracks.track(0), "d"))
    message.features.feature[name].float_list.value.pop()
    with pytest.raises(DataError, match="prepare the folder again"):
        records.decode(message.SerializeToString())


def test_a_label_that_is_none_is_refused():
    with pytest.raises(DataError, match="label -1"):
        records.encode(dataclasses.replace(VIDEO, label=-1), 0, synthetic_tracks.track(0), "d")


@pytest.mark.parametrize("frames", [[], [b""], [b"no jpeg"]])
def test_frames_that_are_none_are_one_sentence(frames):
    with pytest.raises(DataError, match="stored frames"):
        records.decode_frames(frames)


def test_frames_of_two_sizes_are_one_sentence():
    files = [
        *records.encode_frames(np.zeros((1, 8, 8, 3), np.uint8)),
        *records.encode_frames(np.zeros((1, 8, 9, 3), np.uint8)),
    ]
    with pytest.raises(DataError, match="of another size"):
        records.decode_frames(files)


def test_a_header_that_promises_gigabytes_is_one_sentence():
    (file,) = records.encode_frames(np.zeros((1, 8, 8, 3), np.uint8))
    start = file.index(b"\xff\xc0") + 5  # start of frame: marker, length, precision, then height and width
    with pytest.raises(DataError, match="65280 x 65280 pixels"):
        records.decode_frames([file[:start] + b"\xff\x00\xff\x00" + file[start + 4 :]])
