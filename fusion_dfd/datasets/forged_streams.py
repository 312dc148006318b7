"""Data sets in which the picture, the sound, or both of a video are forged: which of them a label is about.
 A detector that only sees cannot know that a voice was cloned. So by default a video with a forged sound and an
untouched picture is *real*; with ``label="any"`` it is fake, of the method ``sound``.
"""

from __future__ import annotations

from fusion_dfd.types import ORIGINAL, DataError, Stretches

VISUAL, ANY = "visual", "any"
SOUND = "sound"
"""``method`` of a video of which only the sound is forged, where that counts as fake."""


def check(label: str) -> None:
    """Raise DataError unless ``label`` is one of the two."""
    if label not in (VISUAL, ANY):
        raise DataError(f"label {label!r} is none of {VISUAL} (the picture is forged) and {ANY} (picture or sound is)")


def stretches(where: str, pairs: object) -> Stretches | None:
    """Forged stretches in seconds, as a row of the metadata states them; None where it states none.

    Raises DataError, which begins with ``where``, for what is no list of begin and end.
    """
    try:
        return Stretches.of(pairs, "seconds") if pairs else None
    except (DataError, TypeError) as error:
        raise DataError(f"{where}: {error}") from error


def method(picture: str, sound: bool, label: str) -> str:
    """Name of the manipulation of a video; ``original`` where it counts as real.

    Args:
      picture: name of the manipulation of the picture, ``""`` where there is none.
      sound: whether the sound is forged.
      label: ``visual`` or ``any``.
    """
    return picture or (SOUND if sound and label == ANY else ORIGINAL)
