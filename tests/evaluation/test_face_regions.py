"""The parts of a face lie where its landmarks are, however it is turned."""

import cv2
import numpy as np
import pytest

from fusion_dfd.evaluation import face_regions
from fusion_dfd.models.geometry import TEMPLATE

SIZE = 96


def face(angle: float = 0.0, scale: float = 0.5) -> np.ndarray:
    """Landmarks [5, 2] of a face in the middle of the picture."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((TEMPLATE - 0.5) @ turn.T * scale * SIZE + SIZE / 2).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, 0.6, -2.0])
def test_landmarks_lie_in_their_parts(angle):
    points = face(angle)
    parts = face_regions.masks(points[None], SIZE)
    for (x, y), name in zip(points, ("eyes", "eyes", "nose", "mouth", "mouth"), strict=True):
        assert parts[name][0, round(float(y)), round(float(x))], name


def test_no_pixel_is_in_two_parts_and_few_in_none():
    parts = face_regions.masks(np.stack([face(), face(0.3)]), SIZE)
    assert tuple(parts) == (*face_regions.FACIAL, face_regions.BACKGROUND)
    together = sum(mask.astype(int) for mask in parts.values())
    assert together.max() == 1
    assert together.mean() > 0.9


def test_parts_turn_with_the_face():
    upright, turned = (face_regions.masks(face(angle)[None], SIZE)["mouth"][0] for angle in (0.0, np.pi / 2))
    centre = (SIZE / 2, SIZE / 2)
    expected = cv2.warpAffine(upright.astype(np.uint8), cv2.getRotationMatrix2D(centre, -90, 1), (SIZE, SIZE))
    assert (turned != expected.astype(bool)).mean() < 0.005


def test_a_stabilised_face_has_every_part():
    assert all(mask.any() for mask in face_regions.template_masks(40).values())


def test_no_face_has_no_parts():
    assert not any(mask.any() for mask in face_regions.masks(np.full((1, 5, 2), 7.0), SIZE).values())


def test_the_strongest_part_is_named():
    parts = face_regions.template_masks(SIZE)
    heat = np.full((SIZE, SIZE), 0.1)
    heat[parts["nose"]] = 1.0
    name, share = face_regions.strongest(heat, parts)
    assert name == "nose"
    assert share == pytest.approx(1 / heat.mean())
    assert face_regions.strongest(np.zeros((SIZE, SIZE)), parts) is None
    assert face_regions.strongest(parts["background"].astype(float), parts)[0] == "background"
