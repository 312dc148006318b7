"""Our augmentation as a user of albumentations writes it: one Compose whose draw is shared by the frames of a clip.

albumentations 2.0.8 (MIT) is archived; its successor under another name has another licence. A yardstick only.
"""

from __future__ import annotations

import os

# It asks the network for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A

from fusion_dfd.config import Augment
from fusion_dfd.input.augment import BLUR_SIGMA


def chain(options: Augment, size: int) -> A.Compose:
    """``chain(images=uint8 [t, h, w, 3])["images"]``: the parts of ``input.augment`` in its order, as often drawn."""
    around = (1 - options.colour, 1 + options.colour)
    return A.Compose(
        [
            A.RandomResizedCrop((size, size), scale=((1 - options.crop) ** 2, 1.0), ratio=(1.0, 1.0)),
            A.HorizontalFlip(p=options.flip),
            A.ColorJitter(brightness=around, contrast=around, saturation=around, hue=(0.0, 0.0), p=1.0),
            A.GaussianBlur(blur_limit=0, sigma_limit=BLUR_SIGMA, p=options.blur),
            A.ImageCompression(quality_range=tuple(options.jpeg_quality), p=options.jpeg),
        ]
    )
