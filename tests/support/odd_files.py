"""The same film of a face in the odd ways in which people's files hold it, written on the fly, each below 30 kB.

Every writer stores :func:`film` so that a player shows it as :func:`control` does; what it makes of it before is said
by its name.
"""

import fractions
import pathlib

import av
import cv2
import numpy as np
from portrait import scene

HEIGHT, WIDTH, FRAMES = 288, 320, 6
"""Not square, so that a frame that lies on its side has another shape; multiples of 16 after every change of shape."""
MOST_BYTES = 30_000
MIRRORED = {
    "as_it_is": (1, 0, 0, 1),
    "left_to_right": (-1, 0, 0, 1),
    "top_to_bottom": (1, 0, 0, -1),
    "half_turn": (-1, 0, 0, -1),
    "quarter_turn": (0, -1, 1, 0),
    "three_quarter_turn": (0, 1, -1, 0),
    "transposed": (0, 1, 1, 0),
    "other_diagonal": (0, -1, -1, 0),
}
"""a, b, c, d of ISO/IEC 14496-12, 8.3.2: a pixel at (x, y) is shown at (a x + c y, b x + d y). All eight there are."""
MATRICES = {"bt709": 1, "bt601_pal": 5, "bt601_ntsc": 6, "smpte240": 7, "bt2020": 9}
"""Numbers of ITU-T H.273, table 4."""


def film() -> list[np.ndarray]:
    """FRAMES pictures uint8 [HEIGHT, WIDTH, 3] of a face that moves; marks in the corners tell all turns apart."""
    pictures = [scene(HEIGHT, WIDTH, (50 + 4 * k, 44 + 2 * k)) for k in range(FRAMES)]
    for picture in pictures:
        picture[8:40, 8:40] = (200, 40, 40)
        picture[8:40, -40:-8] = (40, 180, 60)
        picture[-40:-8, 8:40] = (50, 60, 210)
    return pictures


def write(
    path: pathlib.Path,
    frames: list[np.ndarray],
    *,
    matrix: tuple[int, int, int, int] = (1, 0, 0, 1),
    ratio: fractions.Fraction | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    colours: tuple[int, int, int, int] = (2, 2, 2, 1),
    coded: str = "rgb24",
) -> str:
    """Encode frames uint8 (uint16 for ``coded="rgb48le"``) [h, w, 3]; returns the path.

    ``matrix`` is a display matrix, ``ratio`` the sample aspect ratio, ``colours`` what the file states of its colours:
    matrix, transfer and primaries (H.273; 2 = nothing) and range (1 = limited, 2 = full).
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "20"} if codec == "libx264" else {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.thread_count = pixels, 1
        context = stream.codec_context
        if ratio:
            context.sample_aspect_ratio = ratio
        context.colorspace, context.color_trc, context.color_primaries, context.color_range = colours
        if matrix != (1, 0, 0, 1):
            a, b, c, d = (65536 * value for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        space = colours[0] if colours[0] != 2 else 5
        for count, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format=coded)
            picture = picture.reformat(format=pixels, dst_colorspace=space, dst_color_range=colours[3])
            picture.pts, picture.color_range = count, colours[3]
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return str(path)


def control(folder: pathlib.Path) -> str:
    return write(folder / "control.mp4", film())


def displayed(name: str):
    """Stored turned or mirrored, with the display matrix that undoes it."""
    a, b, c, d = matrix = MIRRORED[name]

    def stored(frame: np.ndarray) -> np.ndarray:
        if b:  # shown x = c y and shown y = b x, both from the middle
            return frame[::b, ::c].transpose(1, 0, 2)
        return frame[::d, ::a]

    return lambda folder: write(folder / "odd.mp4", [np.ascontiguousarray(stored(f)) for f in film()], matrix=matrix)


def squeezed(wide: int, high: int, ratio: str, name: str = "odd.mp4"):
    """Stored with other numbers of pixels, ``wide`` x ``high``, and the sample aspect ratio that undoes it."""
    small = [cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA) for frame in film()]
    return lambda folder: write(folder / name, small, ratio=fractions.Fraction(ratio))


def coloured(matrix: int, span: int):
    """Stored by another matrix and in another range (1 = limited, 2 = full), both stated."""
    return lambda folder: write(folder / "odd.mp4", film(), colours=(matrix, 2, 2, span))


def hdr(transfer: int):
    """Stored as HDR: BT.2020 primaries, 10 bit, the white of SDR at 203 cd/m2; ``transfer`` is of H.273."""
    to_2020 = np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])

    def encoded(frame: np.ndarray) -> np.ndarray:
        nits = 203 * np.clip((frame / 255.0) ** 2.4 @ to_2020.T, 0, None)
        if transfer == 16:  # SMPTE ST 2084
            power = (nits / 10000) ** (2610 / 16384)
            signal = ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
        else:  # BT.2100: the inverse of the opto-optical transfer function, then the opto-electrical one
            luminance = np.maximum(nits / 1000 @ [0.2627, 0.678, 0.0593], 1e-9)[..., None]
            scene_light = nits / 1000 * luminance ** (1 / 1.2 - 1)
            low = np.sqrt(3 * scene_light)
            high = 0.17883277 * np.log(np.maximum(12 * scene_light - 0.28466892, 1e-9)) + 0.55991073
            signal = np.where(scene_light <= 1 / 12, low, high)
        return np.round(np.clip(signal, 0, 1) * 65535).astype(np.uint16)

    def make(folder: pathlib.Path) -> str:
        frames = [encoded(frame) for frame in film()]
        return write(folder / "odd.mp4", frames, pixels="yuv420p10le", colours=(9, transfer, 9, 1), coded="rgb48le")

    return make


def beside_a_thumbnail(folder: pathlib.Path) -> str:
    """Matroska whose first video stream is one frame of something else."""
    path = folder / "odd.mkv"
    with av.open(str(path), "w") as container:
        other, stream = (container.add_stream("libx264", rate=25) for _ in range(2))
        for one, (height, width) in ((other, (480, 640)), (stream, (HEIGHT, WIDTH))):
            one.height, one.width, one.pix_fmt = height, width, "yuv420p"
        packets = []
        for one, frames in ((other, [np.full((480, 640, 3), 90, np.uint8)]), (stream, film())):
            for count, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.pts = count
                packets += one.encode(picture)
            packets += one.encode(None)
        container.mux(packets)
    return str(path)


SHOWN_ALIKE = {
    **{f"display_{name}": displayed(name) for name in MIRRORED},
    "pixels_half_as_wide": squeezed(2 * WIDTH, HEIGHT, "1/2"),
    "pixels_twice_as_wide": squeezed(WIDTH // 2, HEIGHT, "2/1"),
    "pixels_of_pal_wide": squeezed(WIDTH * 45 // 64 // 2 * 2, HEIGHT, "64/45", "odd.mkv"),
    **{f"{name}_limited": coloured(number, 1) for name, number in MATRICES.items()},
    **{f"{name}_full": coloured(number, 2) for name, number in MATRICES.items()},
    "hdr_pq": hdr(16),
    "hdr_hlg": hdr(18),
    "beside_a_thumbnail": beside_a_thumbnail,
}
"""Writers by name: each takes a folder and returns the path of a file that is shown as :func:`control` is."""
