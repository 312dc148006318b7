import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusion_dfd.faces.boxes import covered, moved, overlap, squared

box = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(box, box)
def test_overlap_counts_pixels(a, b):
    def pixels(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    shared, total = len(pixels(a) & pixels(b)), len(pixels(a) | pixels(b))
    boxes = np.array([a], float), np.array([b], float)
    np.testing.assert_allclose(overlap(*boxes), [[shared / total]])
    np.testing.assert_allclose(overlap(*boxes, "min"), [[shared / min(len(pixels(a)), len(pixels(b)))]])


def test_covered_by_an_earlier_box_only():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 0, 12, 10], [0, 0, 5, 10]], float)
    assert covered(boxes, 0.6).tolist() == [False, True, False, True, False]
    assert covered(boxes, 0.6, "min").tolist() == [False, True, False, True, True]
    assert covered(boxes[:0], 0.5).tolist() == []


def test_squared_keeps_the_centre_and_the_longer_side():
    np.testing.assert_allclose(squared(np.array([[0, 0, 4, 10.0], [5, 5, 9, 7]])), [[-3, 0, 7, 10], [5, 4, 9, 8]])


def test_moved_counts_both_border_pixels():
    np.testing.assert_allclose(moved(np.array([[0, 0, 9, 19.0]]), np.array([[0.1, 0.1, -0.2, 0.5]])), [[1, 2, 7, 29]])
