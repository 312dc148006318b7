"""A decoded frame as a player would show it: square pixels, the right way up, BT.709 colours, and of bounded size."""

from __future__ import annotations

import functools

import av
import cv2
import numpy as np

from fusion_dfd.faces.decoding import HLG, PQ

WHITE = 203.0
"""Luminance, cd/m2, of HDR that becomes the white of SDR: a white page in HDR video (ITU-R BT.2408)."""
PEAK = 1000.0
"""Luminance, cd/m2, of the brightest HLG signal: the nominal display of ITU-R BT.2100."""
KNEE = 0.9
"""Linear light, relative to WHITE, above which highlights are compressed."""
GAMMA = 2.4
"""Of SDR displays, ITU-R BT.1886."""
TO_BT709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""Linear RGB of other primaries (numbers of H.273, table 2: BT.2020, Display P3) in that of BT.709 (ITU-R BT.2087)."""
LUMA = np.array([0.2627, 0.678, 0.0593], np.float32)
"""Of BT.2020 RGB."""


class Picture:
    """A decoded frame in the decoder's own pixel format, usually half the bytes of its RGB.

    Args:
      frame: in square pixels, ``rgb48le`` where its colours are not those of SDR, with the transfer and primaries that
        they are of; any other format is of SDR.
      display: whether it is shown transposed, then mirrored left to right, then mirrored top to bottom.
      turns: quarter turns counter-clockwise beyond what the file asks for.
      seconds: from the first frame to this one, as the file states it; None if it does not.
    """

    def __init__(
        self, frame: av.VideoFrame, display: tuple[bool, bool, bool], turns: int = 0, seconds: float | None = None
    ):
        self.seconds = seconds
        self._transpose, self._mirror_x, self._mirror_y = display
        self._frame, self._turns = frame, turns % 4

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of :meth:`rgb`, pixels."""
        wide, high = self._frame.width, self._frame.height
        return (wide, high) if self._transpose != bool(self._turns % 2) else (high, wide)

    def rgb(self) -> np.ndarray:
        """uint8 [h, w, 3] in BT.709 colours, as the display matrix asks and then turned."""
        rgb = self._coloured()
        if self._transpose:
            rgb = rgb.transpose(1, 0, 2)
        rgb = rgb[:: -1 if self._mirror_y else 1, :: -1 if self._mirror_x else 1]
        return np.ascontiguousarray(np.rot90(rgb, self._turns))

    def grey(self, side: int) -> np.ndarray:
        """uint8 [side, side], brightness averaged over areas and squeezed into a square; not turned."""
        return self._frame.reformat(
            width=side, height=side, format="gray", interpolation="AREA", threads=1
        ).to_ndarray()

    def _coloured(self) -> np.ndarray:
        """uint8 [h, w, 3] as coded. swscale honours the stated matrix and range, but not transfer and primaries."""
        if self._frame.format.name == "rgb48le":
            return to_bt709(self._frame.to_ndarray(), self._frame.color_trc, self._frame.color_primaries)
        return self._frame.reformat(format="rgb24", threads=1).to_ndarray()


def to_bt709(deep: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """uint8 [h, w, 3] of SDR BT.709 from uint16 [h, w, 3] RGB of another ``transfer`` or ``primaries`` (H.273).

    HDR up to KNEE of WHITE keeps its luminance; brighter light is compressed, the more the brighter it is, by one
    factor for the three colours, so that hues stay.
    """
    light = _linear(transfer)[deep]
    if transfer == HLG:
        # The opto-optical transfer function of BT.2100: scene light to light of a display of PEAK.
        light *= PEAK / WHITE * np.maximum(light @ LUMA, 1e-6)[..., None] ** np.float32(0.2)
    if transfer in (PQ, HLG):
        brightest = np.maximum(light.max(-1), 1e-6)
        over = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
        light *= (np.minimum(brightest, KNEE) + (1 - KNEE) * over / (1 + over))[..., None] / brightest[..., None]
    if primaries in TO_BT709:
        light = cv2.transform(light, np.array(TO_BT709[primaries], np.float32))
    return _coded()[np.round(np.clip(light, 0, 1) * 65535).astype(np.uint16)]


@functools.cache
def _linear(transfer: int) -> np.ndarray:
    """float32 [65536], the light of each code: relative to WHITE for PQ, to the peak of the scene for HLG, 0..1."""
    code = np.arange(65536) / 65535
    if transfer == PQ:  # SMPTE ST 2084
        root = code ** (32 / 2523)
        light = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610) * 10000 / WHITE
    elif transfer == HLG:  # ITU-R BT.2100, table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:
        light = code**GAMMA
    return light.astype(np.float32)


@functools.cache
def _coded() -> np.ndarray:
    """uint8 [65536], the code of SDR for each light 0..1."""
    return np.round((np.arange(65536) / 65535) ** (1 / GAMMA) * 255).astype(np.uint8)
