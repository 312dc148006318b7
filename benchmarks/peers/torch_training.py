"""A step of training in PyTorch that does what ours does: AdamW behind a clip, schedule, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from apart import Unavailable, same_device
from peers.torch_fusion import FusionDetector
from torch import Tensor

from fusion_dfd import config as c


def device() -> str:
    """Raises Unavailable where JAX uses another."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    same_device(kind)
    return kind


def use_tf32() -> None:
    """On a GPU, for products of float32: JAX does so too."""
    if device() == "cuda":
        torch.set_float32_matmul_precision("high")


class Training:
    """The model, its optimiser and one batch on the device; calling it takes a step."""

    def __init__(self, config: c.Config, frames: np.ndarray, landmarks: np.ndarray, label: np.ndarray, compiled: bool):
        use_tf32()
        torch.backends.cudnn.benchmark = True
        self.options, self.bfloat16 = config.optim, config.model.bfloat16
        self.model = FusionDetector(config.model).to(device(), memory_format=torch.channels_last)
        self.run = torch.compile(self.model) if compiled else self.model
        self.batch = [torch.from_numpy(array).to(device()) for array in (frames, landmarks, label.astype(np.float32))]
        self.learning = [weight for weight in self.model.parameters() if weight.requires_grad]
        kernels = [weight for weight in self.learning if weight.ndim > 1]
        others = [weight for weight in self.learning if weight.ndim <= 1]
        groups = [
            {"params": kernels, "weight_decay": self.options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=self.options.lr, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate(config.train.steps))
        self.values = [value for value in self.model.state_dict().values() if value.is_floating_point()]
        self.average = [value.detach().clone() for value in self.values]

    def _rate(self, steps: int) -> Callable[[int], float]:
        """Linear warm-up, then a cosine."""
        warmup = self.options.warmup

        def rate(step: int) -> float:
            if step < warmup:
                return step / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

        return rate

    def __call__(self) -> None:
        frames, landmarks, label = self.batch
        self.optimiser.zero_grad()
        with torch.autocast(device(), torch.bfloat16, enabled=self.bfloat16):
            logit, branches = self.run(frames, landmarks)
        self._loss(logit, branches, label).backward()
        torch.nn.utils.clip_grad_norm_(self.learning, self.options.clip)
        self.optimiser.step()
        self.schedule.step()
        torch._foreach_lerp_(self.average, self.values, 1 - self.options.ema)

    def _loss(self, logit: Tensor, branches: list[Tensor], label: Tensor) -> Tensor:
        target = label * (1 - self.options.label_smoothing) + self.options.label_smoothing / 2
        fused, *rest = (F.binary_cross_entropy_with_logits(one.float(), target) for one in (logit, *branches))
        return fused + self.options.auxiliary * sum(rest)

    def wait(self) -> None:
        if device() == "cuda":
            torch.cuda.synchronize()


def start(config: c.Config, arrays: tuple[np.ndarray, np.ndarray, np.ndarray], compiled: bool) -> Training:
    """A training whose first step is done.

    Raises Unavailable where memory does not suffice or ``torch.compile`` cannot compile the model.
    """
    try:
        made = Training(config, *arrays, compiled)
        made()
        made.wait()
    except torch.OutOfMemoryError as error:
        raise Unavailable("out of memory") from error
    except RuntimeError as error:
        if not compiled:
            raise
        raise Unavailable(f"torch.compile: {str(error).strip().splitlines()[0]}") from error
    return made


def parameters(model: torch.nn.Module) -> int:
    """Numbers that learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def product(size: int, bfloat16: bool) -> Callable[[], None]:
    """Multiplies two square matrices."""
    use_tf32()
    one = torch.ones(size, size, device=device(), dtype=torch.bfloat16 if bfloat16 else torch.float32)

    def multiply() -> None:
        one @ one
        if device() == "cuda":
            torch.cuda.synchronize()

    return multiply


def peak_bytes() -> int | None:
    """Most that the GPU's allocator gave out; None without a GPU."""
    return torch.cuda.max_memory_allocated() if device() == "cuda" else None
