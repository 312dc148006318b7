"""Whatever happens to the process that decodes, the one that asked gets one sentence and goes on."""

import gc
import os
import pathlib
import signal
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
from barcodes import barcode, number, write

from fusion_dfd import process_limits
from fusion_dfd.faces import decoder_process
from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.types import DataError


@pytest.fixture
def film(tmp_path) -> str:
    return write(tmp_path / "a.mp4", map(barcode, range(30)))


@pytest.fixture
def started(monkeypatch) -> list[decoder_process.DecoderProcess]:
    """The processes that a test starts; none is idle before."""
    made = []

    class Noted(decoder_process.DecoderProcess):
        def __init__(self):
            super().__init__()
            made.append(self)

    decoder_process._end_idle()
    monkeypatch.setattr(decoder_process, "DecoderProcess", Noted)
    return made


def test_one_process_serves_file_after_file(film, started):
    assert probe(film).frames == len(list(Reader(film, range(30)))) == 30
    assert [number(frame) for _, frame in Reader(film, [3, 29, 60])] == [3, 29]
    assert len(started) == 1


def test_what_is_left_unread_costs_its_process_and_nothing_else(film, started):
    frames = iter(Reader(film, range(30)))
    next(frames)
    frames.close()
    assert [number(frame) for _, frame in Reader(film, range(30))] == list(range(30))
    assert len(started) == 2
    assert started[0]._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number_of", "words"), [(signal.SIGSEGV, r"decoder crashed \(SIGSEGV\)"), (signal.SIGPROF, "decoder hangs")]
)
def test_a_crash_is_a_sentence_and_the_next_file_is_read(film, started, number_of, words):
    frames = iter(Reader(film, range(30)))
    next(frames)
    os.kill(started[0].pid, number_of)
    with pytest.raises(DataError, match=rf"a\.mp4: its {words}.*, re-encode it or leave it out"):
        list(frames)
    assert len(list(Reader(film, range(30)))) == 30


def test_a_process_that_is_killed_for_others_memory_is_replaced_and_no_frame_is_lost(film, started):
    probe(film)
    started[0]._process.kill()
    started[0]._process.wait()
    found = []
    for index, frame in Reader(film, range(30)):
        assert number(frame) == index
        found.append(index)
        if index == 9:
            os.kill(started[-1].pid, signal.SIGKILL)
    assert found == list(range(30))
    assert len(started) == 3


def test_a_file_that_kills_twice_is_at_fault(film, started):
    frames = Reader(film, range(30))
    with pytest.raises(DataError, match=r"a\.mp4: its decoder was killed, perhaps for lack of memory"):
        any(os.kill(started[-1].pid, signal.SIGKILL) for _ in frames)


def test_a_step_that_never_ends_ends_the_process():
    lines = (
        "from fusion_dfd.faces import decoder_process as d",
        "d.STEP = 0.1",
        "d._Worker(None)._check()",
        "while True: pass",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], timeout=60).returncode == -signal.SIGPROF


def test_a_process_that_does_not_answer_is_ended_at_the_time_limit(film, started, monkeypatch):
    monkeypatch.setattr(decoder_process, "LATE", 0.2)
    probe(film)
    os.kill(started[0].pid, signal.SIGSTOP)
    with pytest.raises(DataError, match=r"a\.mp4: takes longer than the time limit"):
        probe(film, time_limit=0.1)
    assert started[0]._process.returncode == -signal.SIGKILL
    assert probe(film).frames == 30


def endless_index(path: pathlib.Path) -> None:
    """Two kilobytes of mp4 whose index claims 2e8 samples, 24 bytes each in memory."""
    write(path, [barcode(0)])
    content = bytearray(path.read_bytes())
    count = 200_000_000
    at = {name: content.index(name) + 8 for name in (b"stts", b"stsc", b"stsz")}
    content[at[b"stts"] + 4 : at[b"stts"] + 8] = struct.pack(">I", count)
    content[at[b"stsc"] + 8 : at[b"stsc"] + 12] = struct.pack(">I", count)
    content[at[b"stsz"] : at[b"stsz"] + 8] = struct.pack(">II", 1, count)
    path.write_bytes(content)


def test_an_index_that_would_fill_the_memory_is_refused(tmp_path, started):
    endless_index(tmp_path / "a.mp4")
    for call in (probe, lambda path: list(Reader(path, [0]))):
        with pytest.raises(DataError, match=r"a\.mp4: (needs more than \d GB of memory|not one frame can be decoded)"):
            call(tmp_path / "a.mp4")
    status = pathlib.Path(f"/proc/{started[0].pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak < decoder_process.DECODE_MEMORY + (1 << 28)


def test_the_process_ends_with_its_parent():
    lines = (
        "from fusion_dfd.faces import decoder_process as d",
        "with d.borrowed() as process: pass",
        "print(process.pid, flush=True)",
        "import os; os.kill(os.getpid(), 9)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE, timeout=60)
    gone = pathlib.Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(1000):
        if not gone.exists() or gone.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        subprocess.run(["sleep", "0.02"], check=True)
    pytest.fail("it runs on")


def test_a_script_without_a_main_guard_may_read_videos(tmp_path, film):
    """A process that imported the script again would start the next one, and so on."""
    script = tmp_path / "script.py"
    script.write_text(f"from fusion_dfd.faces.video import probe\nprint(probe({film!r}).frames)\n")
    assert subprocess.run([sys.executable, script], stdout=subprocess.PIPE, timeout=60).stdout == b"30\n"


def test_frames_that_were_given_are_freed(film, monkeypatch):
    for limit in ("bound_memory", "bound_time"):  # this process is not to be bound
        monkeypatch.setattr(process_limits, limit, lambda *_: None)
    memory = np.zeros(decoder_process.AHEAD * (1 << 20), np.uint8)
    worker = decoder_process._Worker(memory)
    gc.disable()
    gc.freeze()  # what is there already: the process that decodes holds little
    try:
        assert worker.answer({"open": film, "limit": 60.0}) == {}
        for number in range(20):
            assert worker.answer({"want": number, "slot": 0, "still": None})["frame"]
        assert sum(type(one) is av.VideoFrame for one in gc.get_objects()) < 5
    finally:
        gc.unfreeze()
        gc.enable()


def test_a_harmless_process_can_write_no_file(tmp_path):
    lines = (
        "import os",
        "from fusion_dfd import process_limits",
        "process_limits.harmless()",
        f"os.write(os.open({str(tmp_path / 'a')!r}, os.O_CREAT | os.O_WRONLY), b'x')",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], timeout=60, stderr=subprocess.PIPE)
    assert b"File too large" in done.stderr
    assert not os.path.getsize(tmp_path / "a")


def test_colours_that_the_frame_states_reach_the_other_side(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    ((_, plain),) = Reader(write(tmp_path / "a.mkv", [noise], "ffv1", "bgr0"), [0])
    np.testing.assert_array_equal(plain, noise)
