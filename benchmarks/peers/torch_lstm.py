"""A bidirectional LSTM of PyTorch: ``torch.nn.LSTM``, which is cuDNN's on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from apart import same_device


def layer(inputs: int, units: int) -> torch.nn.LSTM:
    """With one bias a gate, as ours: the second, which is only added to it, stays 0 and does not learn."""
    made = torch.nn.LSTM(inputs, units, batch_first=True, bidirectional=True)
    for name, weight in made.named_parameters():
        if name.startswith("bias_hh"):
            weight.requires_grad_(False).zero_()
    return made


def load(made: torch.nn.LSTM, weights: dict[str, np.ndarray]) -> None:
    """Give it the weights of our layer: kernel [i, 2, 4u], recurrent_kernel [2, u, 4u], bias [2, 4u]."""
    for direction, suffix in enumerate(("", "_reverse")):
        parts = {
            "weight_ih": weights["kernel"][:, direction].T,
            "weight_hh": weights["recurrent_kernel"][direction].T,
            "bias_ih": weights["bias"][direction],
        }
        for name, values in parts.items():
            getattr(made, f"{name}_l0{suffix}").data.copy_(torch.from_numpy(np.array(values)))


def passes(weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[Callable[[], torch.Tensor], Callable[[], tuple]]:
    """Forward, and gradients of the mean square with respect to weights and input."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    same_device(device)
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as JAX has it on such GPUs.
    made = layer(weights["kernel"].shape[0], weights["recurrent_kernel"].shape[1])
    load(made, weights)
    made.to(device)
    given = torch.from_numpy(x).to(device).requires_grad_()

    def forward():
        with torch.inference_mode():
            out = made(given)[0]
        _wait(device)
        return out

    def gradient():
        made.zero_grad()
        given.grad = None
        made(given)[0].square().mean().backward()
        _wait(device)
        return [weight.grad for weight in made.parameters()], given.grad

    return forward, gradient


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
