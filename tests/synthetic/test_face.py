"""The renderer: things move where and when they are told to."""

import numpy as np
import pytest

from fusion_dfd.synthetic import footage, identity, motion
from fusion_dfd.synthetic.face import RenderedHead

REST = dict.fromkeys(motion.FaceMotion.__dataclass_fields__, 0.0) | {"zoom": 1.0}
LIGHT = np.float32([0, 0, 1])
UNIT = 30.0


@pytest.fixture(scope="module")
def head() -> RenderedHead:
    who = identity.draw(np.random.default_rng(1))
    return RenderedHead(who.inner, who.outer, UNIT)


def picture(head: RenderedHead, **move: float) -> np.ndarray:
    """float32 [120, 120, 4] of a head at (60, 55)."""
    move = REST | move
    (x, y), map_x, map_y = head.coordinates(move, (60.0, 55.0))
    layer = footage.look_up(head.paint(move, LIGHT, 0.5), *head.express(move, map_x, map_y))
    out = np.zeros((220, 220, 4), np.float32)
    out[y + 50 : y + 50 + layer.shape[0], x + 50 : x + 50 + layer.shape[1]] = layer
    return out[50:170, 50:170]


def change(head: RenderedHead, **move: float) -> np.ndarray:
    """Where a movement changes the picture: float32 [120, 120]."""
    return np.abs(picture(head, **move) - picture(head)).sum(-1)


def row_of(head: RenderedHead, y: float) -> int:
    return round(55 + y * UNIT)


def test_same_state_same_person():
    for part in ("inner", "outer"):
        one, two = (vars(getattr(identity.draw(np.random.default_rng(5)), part)) for _ in range(2))
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def test_colours_and_coverage_are_in_range(head):
    shown = picture(head)
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown[..., 3].max() == 1
    assert shown[..., :3].max() < 1.6
    assert shown[55, 60, 3] == 1
    assert shown[0, 0, 3] == 0


@pytest.mark.parametrize(
    ("move", "where"),
    [
        ({"brow": 0.1}, "brow"),
        ({"blink": 1.0}, "eye"),
        ({"lid": 0.4}, "eye"),
        ({"gaze_x": 0.8}, "eye"),
        ({"jaw": 0.8}, "mouth"),
        ({"lips": 0.15}, "mouth"),
        ({"corner": 0.12}, "mouth"),
    ],
)
def test_each_signal_moves_its_own_region(head, move, where):
    inner = head.inner
    place = {"brow": inner.eye_y - inner.brow_height, "eye": inner.eye_y, "mouth": inner.mouth_y + 0.1}
    energy = {name: change(head, **move)[row_of(head, y) - 4 : row_of(head, y) + 5].sum() for name, y in place.items()}
    assert max(energy, key=energy.get) == where
    assert energy[where] > 5


def test_a_micro_expression_moves_the_brow_by_pixels(head):
    """The dark line of the brow, followed over its middle, rises; it does not merely change."""
    inner = head.inner
    columns = slice(round(60 + (inner.eye_x - 0.05) * UNIT), round(60 + (inner.eye_x + 0.05) * UNIT))
    rows = slice(row_of(head, inner.eye_y - 0.54), row_of(head, inner.eye_y - 0.21))

    def line(shown):
        profile = shown[rows, columns, :3].mean((1, 2))
        dark = np.clip((profile.max() + profile.min()) / 2 - profile, 0, None)
        return (dark * np.arange(len(dark))).sum() / dark.sum()

    assert 1.5 <= line(picture(head)) - line(picture(head, brow=motion.MICRO["brow"])) <= 3
    assert -3 <= line(picture(head)) - line(picture(head, brow=-0.7 * motion.MICRO["brow"])) <= -1


@pytest.mark.parametrize(("move", "axis"), [("x", 1), ("y", 0)])
def test_translation_moves_all_by_as_much(head, move, axis):
    shifted = picture(head, **{move: 3 / UNIT})
    np.testing.assert_allclose(np.roll(picture(head), 3, axis), shifted, atol=1e-3)


def test_yaw_moves_the_nose_more_than_the_rim(head):
    """Parallax: the tip of the nose stands out, so it travels; the silhouette hardly does."""

    def centre(values):
        return (values * np.arange(120)).sum() / values.sum()

    row = row_of(head, head.inner.eye_y + 0.1)
    before, after = picture(head)[row], picture(head, yaw=0.2)[row]
    assert abs(centre(after[:, 3]) - centre(before[:, 3])) < 2
    # The bridge's two flanks look away from a frontal light: its ridge is the brightest spot between the eyes.
    middle = slice(50, 75)
    moved = np.argmax(after[middle, :3].sum(-1)) - np.argmax(before[middle, :3].sum(-1))
    assert moved >= 3


def test_light_from_the_right_brightens_the_right(head):
    lit = head.paint(REST, np.float32([0.7, 0, 0.714]), 0.2)
    skin = lit[row_of(head, 0.0) :, :, :3].sum(-1)
    middle = lit.shape[1] // 2
    assert skin[:, middle + 10 :].sum() > 1.2 * skin[:, : middle - 10].sum()


@pytest.mark.parametrize("size", [96, 160, 321])
def test_the_face_scales_with_the_picture(size):
    take = footage.Footage(0, 0, 1, 2, size)
    _, layer = take.layers[0]
    covered = np.argwhere(layer[..., 3] > 0.5)
    high, wide = np.ptp(covered, axis=0) + 1
    assert 0.38 < wide / size < 0.60
    assert 0.50 < high / size < 0.80
    frames = list(take.film(take.layers))
    assert {frame.shape for frame in frames} == {(size, size, 3)}
    assert {frame.dtype for frame in frames} == {np.dtype(np.uint8)}
