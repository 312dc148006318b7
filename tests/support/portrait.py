"""A painted face that a face detector accepts, made of soft ellipses; what it holds is known to the pixel."""

import numpy as np

LANDMARKS = np.array([[82, 95], [118, 95], [100, 119], [86, 139], [114, 139]], np.float32)
"""The five landmarks in :func:`portrait`."""


def portrait() -> np.ndarray:
    """uint8 [200, 200, 3], RGB."""
    y, x = np.mgrid[:200, :200].astype(np.float64)
    picture = np.full((200, 200, 3), (120.0, 140.0, 160.0))

    def paint(cx, cy, rx, ry, colour, soft=0.15):
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        cover = np.clip((1 + soft - distance) / (2 * soft), 0, 1)[..., None]
        picture[:] = picture * (1 - cover) + cover * np.array(colour, float)

    paint(100, 85, 52, 68, (50, 35, 28))
    paint(100, 105, 44, 58, (214, 166, 140))
    light = np.exp(-(((x - 82) / 60) ** 2) - ((y - 85) / 80) ** 2)[..., None]
    picture[:] = picture * (0.72 + 0.33 * light)
    for side in (-1, 1):
        paint(100 + side * 18, 84, 11, 2.6, (60, 40, 32), 0.6)
        paint(100 + side * 18, 95, 9, 4.6, (235, 230, 225), 0.3)
        paint(100 + side * 18, 95, 4, 4.2, (50, 35, 30), 0.3)
    paint(100, 112, 4.5, 14, (226, 180, 155), 1.0)
    paint(95, 124, 3, 2, (120, 80, 70), 0.8)
    paint(105, 124, 3, 2, (120, 80, 70), 0.8)
    paint(100, 139, 15, 4.5, (165, 80, 80), 0.5)
    paint(100, 138.5, 14, 0.9, (90, 40, 40), 0.8)
    return np.clip(picture, 0, 255).astype(np.uint8)


def scene(height: int, width: int, *places: tuple[int, int]) -> np.ndarray:
    """uint8 [height, width, 3]: portraits with their upper left corners at ``places`` (x, y), on their background."""
    picture = np.full((height, width, 3), portrait()[0, 0], np.uint8)
    for x, y in places:
        picture[y : y + 200, x : x + 200] = portrait()
    return picture


def plausible(box, points) -> bool:
    """Landmarks in the box, eyes above nose above mouth, left ones left of right ones, the head within 45 degrees."""
    inside = (points >= box[:2]).all() and (points <= box[2:]).all()
    down = points[3:].mean(0) - points[:2].mean(0)
    right = np.array([down[1], -down[0]])
    nose = (points[2] - points[:2].mean(0)) @ down / (down @ down)
    ordered = (points[1] - points[0]) @ right > 0 and (points[4] - points[3]) @ right > 0
    return bool(inside and down[1] > abs(down[0]) and ordered and 0 < nose < 1.1)
