"""The training input as a user of PyTorch writes it: a data set of clips and a DataLoader with worker processes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
import torch

from fusion_dfd.config import Augment
from fusion_dfd.shards import clip_index, records

DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "cv2": lambda frame: cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR_RGB),
    "simplejpeg": simplejpeg.decode_jpeg,
}


class Clips(torch.utils.data.Dataset):
    """Random windows of ``frames`` frames, uint8 [frames, h, w, 3], with the label; ``length`` of them."""

    def __init__(self, folder: str, frames: int, length: int, decoder: str, augment: Augment | None, size: int):
        self._split = clip_index.open_split(folder, "train")
        self._frames, self._length, self._decoder = frames, length, decoder
        self._augment, self._size = augment, size
        self._chain = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        cv2.setNumThreads(0)
        record = records.decode(self._split.source[number % len(self._split)])
        start = int(torch.randint(len(record) - self._frames + 1, ()))
        decode = DECODERS[self._decoder]
        clip = np.stack([decode(frame) for frame in record.frames[start : start + self._frames]])
        if self._augment is not None:
            clip = self._augmented(clip)
        return torch.from_numpy(clip), record.video.label

    def _augmented(self, clip: np.ndarray) -> np.ndarray:
        from peers import albumentations_chain

        if self._chain is None:
            self._chain = albumentations_chain.chain(self._augment, self._size)
        return self._chain(images=clip)["images"]


def loader(clips: Clips, batch: int, workers: int) -> torch.utils.data.DataLoader:
    """Batches of clips; worker processes stay alive from one pass to the next."""
    # A server forks the workers: this process has threads, which do not survive a fork.
    return torch.utils.data.DataLoader(
        clips,
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
        multiprocessing_context="forkserver",
    )
