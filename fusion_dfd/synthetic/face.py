"""A shaded 2.5-D head: a height field with an albedo, lit, moved and projected.

A :class:`RenderedHead` holds what does not change from frame to frame, on a *canonical* grid (the face seen from the
front, at rest). A frame is rendered in two steps, so that forgeries can share the first:

1. :meth:`RenderedHead.paint` draws eyes and mouth into the albedo and lights the head (Lambert + Blinn-Phong): RGBA.
2. :meth:`RenderedHead.coordinates` and :meth:`RenderedHead.express` give the canonical point of every output pixel:
   inverse head pose with parallax of the height field (two fixed-point steps), then the displacement of the expression
   (brow, mouth corner, jaw).
"""

from __future__ import annotations

import cv2
import numpy as np

from fusion_dfd.synthetic.identity import Inner, Outer

X_MIN, X_MAX, Y_MIN, Y_MAX = -1.6, 1.6, -1.8, 1.6
"""Extent of the canonical grid in half face widths."""
DENSITY = 1.4
"""Canonical pixels per output pixel."""


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def bump(x: np.ndarray, y: np.ndarray, x0: float, y0: float, sx: float, sy: float) -> np.ndarray:
    """A Gaussian of height 1."""
    return np.exp(-(((x - x0) / sx) ** 2) - ((y - y0) / sy) ** 2)


class RenderedHead:
    """One head at one size.

    Args:
      inner, outer: the person; of a face swap, the inner face of one and the head of another.
      unit: half a face width in output pixels.
    """

    def __init__(self, inner: Inner, outer: Outer, unit: float):
        self.inner, self.outer, self.unit = inner, outer, unit
        self.scale = unit * DENSITY
        wide, high = int((X_MAX - X_MIN) * self.scale), int((Y_MAX - Y_MIN) * self.scale)
        x = X_MIN + (np.arange(wide, dtype=np.float32) + 0.5) / self.scale
        y = Y_MIN + (np.arange(high, dtype=np.float32) + 0.5) / self.scale
        self._x, self._y = np.meshgrid(x, y)
        self._outline()
        height = self._height()
        self._albedo = np.concatenate([self._colours(), self._alpha[..., None]], -1).astype(np.float32)
        slope_y, slope_x = np.gradient(height, 1 / self.scale)
        length = np.sqrt(1 + slope_x**2 + slope_y**2)
        self._normals = np.stack([-slope_x / length, -slope_y / length, 1 / length]).astype(np.float32)
        # The rim's slope is infinite: parallax follows a smoother surface, or its fixed point would not settle there.
        self._depth = cv2.GaussianBlur(height, (0, 0), 0.06 * self.scale)
        self._moves = self._displacements()
        self.inner_mask = self._inner_mask()
        self.mouth_mask = bump(self._x, self._y, 0, inner.mouth_y + 0.05, 0.55, 0.36) ** 0.5
        self.mouth_mask = ramp(self.mouth_mask, 0.45, 0.75).astype(np.float32)
        self._eyes = [self._patch(side * inner.eye_x, inner.eye_y, 0.36, 0.30) for side in (-1, 1)]
        self._mouth = self._patch(0, inner.mouth_y + 0.07, 0.62, 0.36)
        px = np.arange(int(3.1 * unit), dtype=np.float32) - int(3.1 * unit) // 2
        py = np.arange(int(3.3 * unit), dtype=np.float32) - int(3.3 * unit) // 2
        self._px, self._py = np.meshgrid(px, py)

    # What does not change ---------------------------------------------------------------------------------------------

    def _outline(self):
        x, y, outer = self._x, self._y, self.outer
        half = 1 - outer.jaw * ramp(y, 0.15, outer.chin + 0.1)
        tall = np.where(y > 0, outer.chin, 1.38)
        self._rho = np.sqrt((x / half) ** 2 + np.abs(y / tall) ** 2.2)
        ears = np.minimum(np.hypot((x - 1.0) / 0.13, (y + 0.02) / 0.25), np.hypot((x + 1.0) / 0.13, (y + 0.02) / 0.25))
        self._ears = np.clip((1 - ears) * 0.13 * self.scale + 0.5, 0, 1)
        self._skull = np.clip((1 - self._rho) * self.scale * 0.8 + 0.5, 0, 1)
        volume = outer.hair_volume
        cap = np.sqrt((x / (1.02 + volume)) ** 2 + np.abs((y + 0.05) / (1.40 + volume)) ** 2.2)
        hair = np.clip((1 - cap) * self.scale * 0.8 + 0.5, 0, 1) * ramp(-y, -0.15, 0.05)
        if outer.hair_length > 0.3:
            fall = np.abs(x) - (1.05 + volume + 0.08 * np.sin(3 * y))
            long = np.clip(-fall * self.scale + 0.5, 0, 1) * ramp(outer.hair_length - y, 0, 0.2) * (y > -0.3)
            hair = np.maximum(hair, long * ramp(np.abs(x), 0.4, 0.7))
        line = outer.hairline + 0.10 * np.abs(x) ** 2 + 0.75 * ramp(np.abs(x), 0.78, 1.0)
        front = np.clip((line - y) * self.scale * 0.35 + 0.5, 0, 1)
        behind = 1 - np.maximum(self._skull, self._ears)
        self._hair = (hair * np.maximum(front, behind)).astype(np.float32)
        self._alpha = np.maximum(np.maximum(self._skull, self._ears), self._hair).astype(np.float32)

    def _height(self) -> np.ndarray:
        x, y, inner = self._x, self._y, self.inner
        height = self.outer.depth * np.clip(1 - self._rho**2, 0, 1) ** 0.55
        height += 0.10 * cv2.GaussianBlur(self._hair, (0, 0), 0.08 * self.scale) + 0.06 * self._ears
        nose_top, nose_tip = inner.eye_y - 0.03, inner.eye_y + 0.18 + inner.nose_length
        along = np.clip((y - nose_top) / (nose_tip - nose_top), 0, 1)
        width = inner.nose_width * (0.5 + 0.35 * along)
        under = 1 - ramp(y, nose_tip, nose_tip + 0.12)
        height += (
            inner.nose_depth
            * along**1.1
            * under
            * ramp(y, nose_top - 0.1, nose_top + 0.1)
            * np.exp(-((x / width) ** 2))
        )
        height += 0.06 * bump(x, y, 0, nose_top, 0.10, 0.22)
        for side in (-1, 1):
            height += 0.09 * bump(x, y, side * inner.nose_width, nose_tip, 0.075, 0.075)
            height += inner.ridge * bump(x, y, side * inner.eye_x, inner.eye_y - inner.brow_height, 0.30, 0.13)
            height -= inner.socket * bump(x, y, side * (inner.eye_x - 0.03), inner.eye_y, 0.24, 0.16)
            height += 0.05 * bump(x, y, side * inner.eye_x, inner.eye_y, 0.16, 0.11)
            height += inner.cheek * bump(x, y, side * 0.58, 0.28, 0.25, 0.22)
            height -= 0.03 * bump(x - side * 0.25 * (y - 0.5), y, side * 0.42, 0.5, 0.06, 0.18)
        mouth = inner.mouth_y
        height += 0.05 * bump(x, y, 0, mouth, inner.mouth_width, 0.16)
        height -= 0.035 * bump(x, y, 0, mouth + 0.2, 0.25, 0.06) + 0.02 * bump(x, y, 0, mouth - 0.17, 0.05, 0.08)
        height += 0.06 * bump(x, y, 0, mouth + 0.38, 0.22, 0.14)
        return cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.02 * self.scale)

    def _colours(self) -> np.ndarray:
        x, y, inner, outer = self._x, self._y, self.inner, self.outer
        rng = np.random.default_rng(inner.skin_seed)
        rough = [
            cv2.GaussianBlur(rng.standard_normal(x.shape, np.float32), (0, 0), s * self.scale) for s in (0.03, 0.15)
        ]
        mottle = sum(0.012 * part / part.std() for part in rough)
        red = sum(bump(x, y, side * 0.55, 0.25, 0.25, 0.2) for side in (-1, 1)) + bump(x, y, 0, 0.3, 0.2, 0.15)
        albedo = outer.skin * (1 + mottle)[..., None] * (1 - red[..., None] * np.float32([0.0, 0.09, 0.09]))
        tip = inner.eye_y + 0.18 + inner.nose_length
        shade = np.zeros_like(x)
        for side in (-1, 1):
            # Cavities that a Lambert term without shadows leaves bright.
            shade += 0.7 * bump(x, y, side * 0.45 * inner.nose_width, tip + 0.075, 0.045, 0.03)
            shade += 0.22 * bump(x, y, side * (inner.eye_x - 0.12), inner.eye_y - 0.05, 0.13, 0.10)
            shade += 0.12 * bump(x, y, side * inner.eye_x, inner.eye_y + 0.14, 0.16, 0.05)
            shade += 0.08 * bump(x - side * 0.25 * (y - 0.5), y, side * 0.43, 0.5, 0.035, 0.17)
        shade += 0.18 * bump(x, y, 0, tip + 0.12, 0.2, 0.05) + 0.13 * bump(x, y, 0, inner.mouth_y + 0.21, 0.2, 0.05)
        shade += 0.35 * ramp(self._rho, 0.86, 1.02) * ramp(y, 0.2, 0.9)
        shade += 0.45 * cv2.GaussianBlur(self._hair, (0, 0), 0.07 * self.scale)
        albedo = albedo * (1 - np.clip(shade, 0, 0.8))[..., None]
        albedo = self._blend(albedo, inner.brow_colour * (1 + 6 * mottle[..., None]), 0.88 * self._brows())
        strands = cv2.GaussianBlur(
            rng.standard_normal(x.shape, np.float32), (0, 0), 0.02 * self.scale, sigmaY=0.2 * self.scale
        )
        hair = outer.hair * (1 + 0.18 * strands / strands.std())[..., None] + 0.02
        return self._blend(albedo, hair, self._hair)

    def _brows(self) -> np.ndarray:
        inner, cover = self.inner, 0.0
        for side in (-1, 1):
            along = (side * self._x - inner.eye_x + 0.01) / 0.30
            middle = inner.eye_y - inner.brow_height + inner.brow_arch * (along - 0.3) ** 2 - inner.brow_slant * along
            thick = inner.brow_thick * np.clip(1.05 - 0.45 * along, 0.3, 1.4)
            inside = np.clip((thick - np.abs(self._y - middle)) * self.scale * 0.6 + 0.5, 0, 1)
            cover = cover + inside * ramp(1 - np.abs(along), 0, 0.25)
        return np.clip(cover, 0, 1)

    def _displacements(self) -> np.ndarray:
        """float32 [3, h, w, 2]: how far, in canonical pixels, a unit of brow, corner and jaw moves each point."""
        x, y, inner = self._x, self._y, self.inner
        out = np.zeros((3, *x.shape, 2), np.float32)
        out[0, ..., 1] = -sum(
            bump(x, y, side * inner.eye_x, inner.eye_y - inner.brow_height, 0.34, 0.17) for side in (-1, 1)
        )
        for side in (-1, 1):
            corner = bump(x, y, side * inner.mouth_width, inner.mouth_y, 0.22, 0.20)
            out[1, ..., 0] += side * 0.6 * corner
            out[1, ..., 1] -= corner
        out[2, ..., 1] = 0.16 * ramp(y, inner.mouth_y + 0.02, inner.mouth_y + 0.35) * ramp(1.1 - np.abs(x), 0, 0.6)
        return out * np.float32(self.scale)

    def _inner_mask(self) -> np.ndarray:
        """Where a swap blends: 1 from above the brows to below the mouth, falling off over smooth skin."""
        inner = self.inner
        top, bottom = inner.eye_y - inner.brow_height - 0.17, inner.mouth_y + 0.30
        radius = np.sqrt((self._x / 0.84) ** 2 + np.abs((self._y - (top + bottom) / 2) / ((bottom - top) / 2)) ** 2.6)
        return ramp(1.12 - radius, 0, 0.24).astype(np.float32)

    # What changes -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _blend(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
        return below + (above - below) * cover[..., None]

    def _patch(
        self, x: float, y: float, half_x: float, half_y: float
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """A window of the canonical grid, and coordinates in it relative to (x, y)."""
        columns = slice(int((x - half_x - X_MIN) * self.scale), int((x + half_x - X_MIN) * self.scale))
        rows = slice(int((y - half_y - Y_MIN) * self.scale), int((y + half_y - Y_MIN) * self.scale))
        return (rows, columns), self._x[rows, columns] - np.float32(x), self._y[rows, columns] - np.float32(y)

    def _inside(self, distance: np.ndarray) -> np.ndarray:
        """Antialiased coverage from a signed distance in half face widths."""
        return np.clip(distance * np.float32(self.scale * 0.8) + 0.5, 0, 1)

    def _draw_eye(self, albedo: np.ndarray, side: int, move: dict[str, float]):
        inner = self.inner
        window, x, y = self._eyes[side > 0]
        y = y + side * inner.eye_slant * x
        width = inner.eye_width
        arch = np.clip(1 - (x / width) ** 2, 0, 1)
        opened = inner.eye_open * width * max(1 + move["lid"], 0.15)
        upper = arch**0.8 * (-opened + (opened + 0.18 * width) * min(move["blink"], 1.0))
        lower = 0.30 * width * arch
        hole = self._inside(y - upper) * self._inside(lower - y) * self._inside(width - np.abs(x))
        iris_x, iris_y = x - np.float32(0.09 * move["gaze_x"]), y + np.float32(0.02 - 0.04 * move["gaze_y"])
        far = np.sqrt(iris_x * iris_x + iris_y * iris_y)
        skin = albedo[window]
        white = np.float32([0.90, 0.87, 0.85]) * (1 - 0.35 * np.clip(1 - (y - upper) / 0.09, 0, 1))[..., None]
        white = self._blend(white, inner.iris * (0.6 + 3 * far[..., None]), self._inside(0.102 - far))
        white = self._blend(white, np.float32([0.03, 0.03, 0.03]), self._inside(0.047 - far))
        spark = np.exp(-(((iris_x + 0.03) / 0.03) ** 2) - ((iris_y + 0.04) / 0.03) ** 2)
        white = white + 1.1 * spark[..., None]
        near = self._inside(width * 1.05 - np.abs(x))
        lash = 0.85 * np.exp(-(((y - upper + 0.012) / 0.030) ** 2)) * near
        crease = (
            0.30 * np.exp(-(((y - upper + 0.085) / 0.03) ** 2)) * near * np.float32(1 - 0.5 * min(move["blink"], 1.0))
        )
        rim = 0.30 * np.exp(-(((y - lower) / 0.025) ** 2)) * near
        drawn = self._blend(skin * (1 - crease)[..., None], white, hole)
        albedo[window] = drawn * (1 - np.maximum(lash, rim))[..., None]

    def _draw_mouth(self, albedo: np.ndarray, move: dict[str, float]):
        inner = self.inner
        window, x, y = self._mouth
        y = y + np.float32(0.07)
        width = inner.mouth_width * (1 + move["lips"]) * (1 - 0.10 * move["jaw"])
        across = x / np.float32(width)
        arch = np.clip(1 - across * across, 0, 1)
        root = np.sqrt(arch)
        gap = np.float32(0.20 * move["jaw"])
        top = -inner.lip_upper * root * (1 - 0.22 * np.exp(-((across / 0.16) ** 2))) - 0.15 * gap * arch
        bottom = (gap + inner.lip_lower) * root
        within = self._inside(width - np.abs(x))
        lips = self._inside((y - top) * 0.8) * self._inside((bottom - y) * 0.8) * within
        hole_top, hole_bottom = -0.15 * gap * arch, 0.85 * gap * arch
        hole = self._inside(y - hole_top) * self._inside(hole_bottom - y) * within * min(1.0, 12 * move["jaw"])
        tint = self.outer.skin * (1 - inner.lip_red * np.float32([0.16, 0.50, 0.42]))
        form = 0.88 + 0.20 * np.exp(-(((y - gap - 0.5 * inner.lip_lower) / 0.035) ** 2)) - 0.10 * (y < hole_top)
        drawn = self._blend(albedo[window], tint * form[..., None], lips)
        inside = self._blend(
            np.float32([0.20, 0.06, 0.06]) + 0 * drawn,
            np.float32([0.84, 0.81, 0.76]) * np.clip(1.15 - 1.1 * np.abs(across), 0, 1)[..., None],
            self._inside(hole_top + 0.075 - y),
        )
        drawn = self._blend(drawn, inside, hole)
        seam = 0.6 * np.exp(-(((y - hole_top) / 0.022) ** 2)) * within
        albedo[window] = drawn * (1 - seam * (1 - 0.6 * hole))[..., None]

    def paint(self, move: dict[str, float], light: np.ndarray, ambient: float) -> np.ndarray:
        """Step 1: float32 [h, w, 4], the lit canonical head, RGB in 0..1 and coverage.

        ``light`` float32 [3] is the direction to the light in the picture's frame (z towards the camera).
        """
        out = self._albedo.copy()
        self._draw_eye(out[..., :3], -1, move)
        self._draw_eye(out[..., :3], 1, move)
        self._draw_mouth(out[..., :3], move)
        # The head turns under the light: turn the light the other way instead of every normal.
        x, y, z = light
        x, z = x - z * move["yaw"], z + x * move["yaw"]
        y, z = y - z * move["pitch"], z + y * move["pitch"]
        diffuse = np.maximum(self._facing(x, y, z), 0)
        length = np.sqrt(x * x + y * y + (z + 1) * (z + 1))
        gloss = np.maximum(self._facing(x / length, y / length, (z + 1) / length), 0)
        for _ in range(4):
            gloss = gloss * gloss
        shade = np.float32(ambient) + np.float32(1 - ambient) * diffuse
        gloss *= np.float32(self.outer.shine)
        out *= cv2.merge((shade, shade, shade, np.ones_like(shade)))
        out += cv2.merge((gloss, gloss, gloss, np.zeros_like(gloss)))
        return out

    def _facing(self, x: float, y: float, z: float) -> np.ndarray:
        across, down, towards = self._normals
        return across * np.float32(x) + down * np.float32(y) + towards * np.float32(z)

    def coordinates(self, move: dict[str, float], centre: tuple[float, float]):
        """Step 2a: where output pixels look on the canonical grid, before expression; and the window they fill.

        Returns (corner (x, y) of the window, map x, map y), float32 [h, w], canonical pixels.
        """
        px, py = centre[0] + move["x"] * self.unit, centre[1] + move["y"] * self.unit
        corner_x, corner_y = int(np.floor(px)), int(np.floor(py))
        size = self.unit * move["zoom"]
        cos, sin = np.cos(move["roll"]) / size, np.sin(move["roll"]) / size
        dx, dy = self._px - np.float32(px - corner_x), self._py - np.float32(py - corner_y)
        u, v = dx * np.float32(cos) + dy * np.float32(sin), dy * np.float32(cos) - dx * np.float32(sin)
        yaw, pitch = np.sin(move["yaw"]), np.sin(move["pitch"])
        map_x, map_y = self._canonical(u, v)
        for _ in range(2):
            depth = cv2.remap(self._depth, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            map_x, map_y = self._canonical(
                (u - depth * np.float32(yaw)) / np.float32(np.cos(move["yaw"])),
                (v - depth * np.float32(pitch)) / np.float32(np.cos(move["pitch"])),
            )
        corner = (corner_x + int(self._px[0, 0]), corner_y + int(self._py[0, 0]))
        return corner, map_x, map_y

    def _canonical(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = np.float32(self.scale)
        return (u - np.float32(X_MIN)) * scale - np.float32(0.5), (v - np.float32(Y_MIN)) * scale - np.float32(0.5)

    def express(self, move: dict[str, float], map_x: np.ndarray, map_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step 2b: the maps after the displacement of the expression."""
        brow, corner, jaw = (np.float32(move[name]) for name in ("brow", "corner", "jaw"))
        field = self._moves[0] * brow + self._moves[1] * corner + self._moves[2] * jaw
        shift = cv2.remap(field, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return map_x - shift[..., 0], map_y - shift[..., 1]
