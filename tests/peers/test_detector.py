"""What other people's detectors state, how they are loaded, and what is refused."""

import numpy as np
import pytest
import strange_peers

from fusion_dfd.peers.detector import Detector, Stated, load
from fusion_dfd.types import DataError

PICTURES = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)


def test_a_factory_states_what_it_wants_and_the_rest_has_defaults():
    found = load("strange_peers:Bright")
    assert found.stated == Stated(size=32, batch=5, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert len(found.digest) == 64
    np.testing.assert_allclose(found.probabilities(PICTURES), PICTURES.mean((1, 2, 3)) / 255, rtol=1e-5)


def test_statements_can_be_replaced():
    changes = {"size": "16", "mean": "0.5,0.5,0.5", "output": "logit"}
    assert load("strange_peers:Bright", changes).stated == Stated(
        size=16, batch=5, mean=(0.5,) * 3, std=(1.0,) * 3, output="logit"
    )


@pytest.mark.parametrize(
    ("kind", "layout", "shape"),
    [
        ("frame", "", (3, 8, 6)),
        ("frame", "bhwc", (8, 6, 3)),
        ("clip", "", (4, 3, 8, 6)),
        ("clip", "bcthw", (3, 4, 8, 6)),
        ("clip", "bthwc", (4, 8, 6, 3)),
    ],
)
def test_axes_and_values_are_those_asked_for(kind, layout, shape, rng):
    ours = (2, 8, 6, 3) if kind == "frame" else (2, 4, 8, 6, 3)
    frames = rng.integers(0, 256, ours, dtype=np.uint8)
    given = Stated(input=kind, layout=layout, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0)).pictures(frames)
    assert given.shape == (2, *shape)
    assert given.dtype == np.float32
    channels = list(shape).index(3) + 1
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), strict=True)):
        want = (frames[..., channel] / 255 - mean) / std
        np.testing.assert_allclose(given.take(channel, channels), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("output", "answer", "want"),
    [
        ("probability", [[0.25], [1.0]], [0.25, 1.0]),
        ("probability", [[0.75, 0.25], [0.0, 1.0]], [0.25, 1.0]),
        ("logit", [0.0, np.log(3)], [0.5, 0.75]),
        ("logit", [[1.0, 1.0], [0.0, np.log(3)]], [0.5, 0.75]),
        ("probability", [0, 1], [0.0, 1.0]),
        ("probability", [np.nan, 1.0], [np.nan, 1.0]),
    ],
)
def test_answers_become_probabilities_of_fake(output, answer, want):
    peer = Detector("peer", Stated(size=32, output=output), "", lambda pictures: answer)
    np.testing.assert_allclose(peer.probabilities(PICTURES), want)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("nowhere", {}, r"detector 'nowhere': want module:factory, such as mypeer:make, or onnx:FILE"),
        ("no_such_module:make", {}, "cannot import no_such_module .ModuleNotFoundError.*start in the folder of"),
        ("strange_peers:absent", {}, "strange_peers has no function absent"),
        ("strange_peers:broken", {}, r"broken\(\) failed \(OSError: no weights\)"),
        ("strange_peers:nothing", {}, r"nothing\(\) returned NoneType, want something to call"),
        ("strange_peers:huge", {}, "states size=-1; want a whole number in 1 .. 4096"),
        ("strange_peers:Bright", {"colour": "x"}, "states no 'colour'; it states input, size"),
        ("strange_peers:Bright", {"size": "big"}, "size='big': want a whole number"),
        ("strange_peers:Bright", {"mean": "1,2"}, "states mean=.1.0, 2.0.; want three numbers, of R, G and B"),
        ("strange_peers:Bright", {"layout": "bcthw"}, "a frame has bchw or bhwc"),
        ("strange_peers:Bright", {"input": "song"}, "states input='song'; want frame or clip"),
        ("onnx:absent.onnx", {}, "there is no ONNX file absent.onnx"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(name, changes, message):
    with pytest.raises(DataError, match=message):
        load(name, changes)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            strange_peers.thousand,
            r"returned float64 \[2, 1000\] for 2 frames; want numbers \[2\], \[2, 1\], or \[2, 2\]",
        ),
        (strange_peers.logits, "returned 3.5 as a probability, want 0..1; if these are logits, state output=logit"),
    ],
)
def test_answers_of_another_shape_or_range_are_refused(factory, message):
    with pytest.raises(DataError, match=message):
        load(f"strange_peers:{factory.__name__}").probabilities(PICTURES)
