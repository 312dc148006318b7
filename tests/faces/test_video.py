"""Frame numbers and colours are exact in every container; every bad file gets its own sentence."""

import os
import pathlib
import struct

import av
import numpy as np
import pytest
from barcodes import barcode, number, write

from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.quality import probe_files
from fusion_dfd.types import DataError

KINDS = {
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mov": ("libx264", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "vp8.webm": ("libvpx", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_container_gives_every_frame_under_its_number(tmp_path, name):
    path = write(tmp_path / name, map(barcode, range(30)), *KINDS[name])
    info = probe(path)
    assert (info.frames, info.width, info.height, info.damaged) == (30, 64, 48, 0)
    assert info.fps == pytest.approx(25)
    frames = dict(Reader(path, range(30)))
    assert [number(frame) for frame in frames.values()] == list(frames) == list(range(30))


def test_only_the_wanted_frames_are_given_and_decoding_stops_after_the_last(tmp_path):
    path = write(tmp_path / "a.mp4", map(barcode, range(90)), options={"tune": "zerolatency"})
    frames = Reader(path, iter([0, 7, 8, 41]))
    assert [(index, number(frame)) for index, frame in frames] == [(0, 0), (7, 7), (8, 8), (41, 41)]
    assert frames.decoded == 42
    assert frames.damaged == 0
    assert [index for index, _ in Reader(path, [88, 89, 90, 400])] == [88, 89]
    assert list(Reader(path, [])) == []


def test_variable_frame_rate_does_not_move_frames(tmp_path):
    times = np.cumsum([1, 1, 5, 1, 2, 9, 1, 1, 1, 7] * 3).tolist()
    path = write(tmp_path / "vfr.mp4", map(barcode, range(30)), times=times)
    assert [number(frame) for _, frame in Reader(path, range(30))] == list(range(30))


def test_one_frame(tmp_path):
    path = write(tmp_path / "one.mp4", [barcode(77)])
    assert probe(path).frames == 1
    assert [number(frame) for _, frame in Reader(path, range(10))] == [77]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("odd.avi", "mjpeg", "yuvj444p"),
        ("odd.webm", "libvpx-vp9", "yuv420p"),
        ("grey.avi", "ffv1", "gray"),
        ("alpha.mov", "qtrle", "argb"),
        ("alpha.avi", "ffv1", "yuva420p"),
        ("ten_bits.mkv", "ffv1", "yuv420p10le"),
        ("ten_bits.mp4", "libx264", "yuv420p10le"),
        ("full_colour.mov", "png", "rgb24"),
    ],
)
def test_odd_sizes_and_pixel_formats_become_rgb(tmp_path, name, codec, pixels):
    if "odd" in name or "ffv1" in codec or codec in ("png", "qtrle"):
        size = (65, 51)
    else:
        size = (64, 48)
    path = write(tmp_path / name, [barcode(k, *size) for k in range(4)], codec, pixels)
    frames = [frame for _, frame in Reader(path, range(4))]
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {((size[1], size[0], 3), "uint8")}
    assert [number(frame) for frame in frames] == [0, 1, 2, 3]
    assert abs(frames[0][-10:, 10:-10].astype(int) - 128).max() <= 6


def test_channels_are_red_green_blue(tmp_path):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:] = (200, 90, 30)
    for name, (codec, pixels) in KINDS.items():
        ((_, decoded),) = Reader(write(tmp_path / name, [frame], codec, pixels), [0])
        assert abs(decoded.mean((0, 1)) - (200, 90, 30)).max() < 8, name


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_the_display_matrix_is_obeyed(tmp_path, rotation):
    frame = np.full((48, 64, 3), 40, np.uint8)
    frame[:16, :16] = 220
    path = pathlib.Path(write(tmp_path / "a.mp4", [frame], rotation=rotation))
    # ISO/IEC 14496-12, 6.2.2 and 8.3.2: (x, y) is shown at (a x + c y, b x + d y); 16.16 fixed point.
    header = path.read_bytes()[path.read_bytes().index(b"tkhd") + 44 :]
    a, b, _, c, d = (value / 65536 for value in struct.unpack(">5i", header[:20]))
    place = -a - c, -b - d  # of the upper left corner, relative to the middle
    ((_, shown),) = Reader(path, [0])
    assert shown.shape[:2] == ((48, 64) if rotation in (0, 180) else (64, 48))
    bright = [bool(shown[y, x].mean() > 128) for y in (2, -3) for x in (2, -3)]
    assert bright == [(np.sign(x), np.sign(y)) == tuple(np.sign(place)) for y in (-1, 1) for x in (-1, 1)]


def test_a_size_that_changes_midway_is_scaled_to_the_first(tmp_path):
    small = pathlib.Path(
        write(tmp_path / "a.h264", map(barcode, range(3)), options={"tune": "zerolatency"})
    ).read_bytes()
    frames = [barcode(k, 128, 96) for k in range(3)]
    large = pathlib.Path(write(tmp_path / "b.h264", frames, options={"tune": "zerolatency"})).read_bytes()
    (tmp_path / "c.h264").write_bytes(small + large)
    assert [frame.shape for _, frame in Reader(tmp_path / "c.h264", range(6))] == [(48, 64, 3)] * 6


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path, rng):
    frames = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = write(tmp_path / "a.mkv", frames, options={"g": "10", "tune": "zerolatency"})
    content = bytearray(pathlib.Path(path).read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = rng.bytes(len(content) // 10)
    (tmp_path / "b.mkv").write_bytes(content)
    damaged = Reader(tmp_path / "b.mkv", range(60))
    got = [index for index, _ in damaged]
    assert damaged.damaged > 0
    assert got == list(range(len(got)))
    assert 30 <= len(got) < 60 + 1
    clean = Reader(path, range(60))
    assert len(list(clean)) == 60
    assert clean.damaged == 0


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_file_cut_short_gives_what_is_left_and_says_so(tmp_path, rng, name):
    frames = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    path = tmp_path / name
    faststart = {"movflags": "faststart"} if name == "a.mp4" else {}
    write(path, frames, "libx264", options={"tune": "zerolatency"}, container_options=faststart)
    assert (probe(path).frames, probe(path).damaged) == (40, 0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    info = probe(path)
    assert 10 < info.frames < 30
    assert info.damaged == 1
    assert info.frames - 1 <= len(list(Reader(path, range(40)))) <= info.frames


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def truncated(path, place):
    content = pathlib.Path(write(path.with_name("whole.mp4"), map(barcode, range(60)))).read_bytes()
    path.write_bytes(content[: content.index(place) + 10])


def no_decodable_packet(path):
    write(path, map(barcode, range(5)))
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    path.write_bytes(content[:start] + b"\xff" * (end - start) + content[end:])


BAD = {
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "a folder"),
    "empty": (lambda path: path.write_bytes(b""), "0 bytes"),
    "text": (lambda path: path.write_text("404 not found\n" * 50), "text, not a video"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "not a video"),
    "playlist": (lambda path: path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://localhost:1/a.ts\n"), "text, not a video"),
    "truncated": (lambda path: truncated(path, b"mdat"), "no moov"),
    "truncated index": (lambda path: truncated(path, b"moov"), "no moov"),
    "sound": (sound_only, "no video stream"),
    "undecodable": (no_decodable_packet, "not one frame"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_gives_one_sentence_that_names_it(tmp_path, kind):
    make, words = BAD[kind]
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(DataError) as caught:
        list(Reader(path, range(5)))
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    if kind != "undecodable":
        with pytest.raises(DataError, match=words):
            probe(path)


def test_the_time_limit_ends_a_video(tmp_path):
    path = write(tmp_path / "a.mp4", map(barcode, range(5)))
    for call in (lambda: list(Reader(path, range(5), time_limit=-1)), lambda: probe(path, time_limit=-1)):
        with pytest.raises(DataError, match=r"a\.mp4: takes longer than .* faces\.time_limit"):
            call()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"a\.mp4: a pipe or a device"):
        probe(tmp_path / "a.mp4")
    assert "a pipe or a device" in probe_files.probe(str(tmp_path / "a.mp4")).trouble
