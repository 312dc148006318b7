"""A step of training: ours, and the same architecture in PyTorch. Prints one JSON line.

    python benchmarks/train_step.py [--size small|full] [--rounds 3]

``small`` is ``configs/fusion.py:sample`` and takes some minutes on a CPU, ``full`` is ``:ffpp`` and wants a GPU. The
fusion, at several batch sizes, and each branch alone, in float32 and in bfloat16 (of PyTorch its autocast). Compiling
is most of the time of ``small``: it has bfloat16 for the fusion only, and not ``torch.compile``. Both sides leave
optical flow out, but for the row ``as configured``. A step is forward, backward, clip, AdamW and averaged weights, on a
batch that lies on the device. The peer has channels last, and no masks.

On a GPU no two ways share its memory, so they do not take turns. ``peak_mib`` is what the GPU's allocator gave out at
most; without a GPU, what the process held at most while steps were taken, above what it held with its libraries
imported (of ours, with what the compiler left behind). ``first_step_s`` of PyTorch has building the model in it.
Utilisation is three times the arithmetic of a forward pass (``training/cost.py``; optical flow, through which no
gradient goes, counts like the rest) in the time of a step, as a share of the fastest product of two square matrices in
the same dtype that either library managed in the same run.
"""

import argparse
import dataclasses
import json
import pathlib
import runpy
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from apart import Unavailable, Ways, ratio, target
from jax.sharding import AxisType
from memory import forget_peak, resident

from fusion_dfd import config as c
from fusion_dfd.config import BRANCHES
from fusion_dfd.training import cost, optim, state, step

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
DTYPES = ("float32", "bfloat16")
PARTS = {"fusion": BRANCHES, **{name: (name,) for name in BRANCHES}}


@dataclasses.dataclass(frozen=True)
class Size:
    variant: str
    batches: tuple[int, ...]
    """Clips a step; each part alone takes the last."""
    steps: int
    """Timed a turn."""
    product: int
    """Side of the matrices."""
    dtypes: tuple[str, ...]
    """Of the parts and of the smaller batches; the fusion at the largest takes all."""
    compiled: bool
    """Whether ``torch.compile`` is tried."""


SIZES = {
    "small": Size("sample", (8, 16), 2, 1536, ("float32",), compiled=False),
    "full": Size("ffpp", (8, 16, 32), 10, 8192, DTYPES, compiled=True),
}


@dataclasses.dataclass(frozen=True)
class Way:
    library: str
    part: str
    batch: int
    dtype: str


@dataclasses.dataclass
class Turn:
    """Training that has begun: calling it takes steps and says what they took."""

    go: Callable[[], object]
    """One step."""
    wait: Callable[[], object]
    """Until all steps are done."""
    steps: int
    held: int
    """Bytes that the process held before."""
    first_s: float
    """Of the first step, which compiles."""
    parameters: int
    peak: Callable[[], int | None]
    """Most bytes that a GPU's allocator gave out; None without one."""

    def __call__(self) -> dict[str, float]:
        if self.peak() is None:
            forget_peak()
        begun = time.perf_counter()
        for _ in range(self.steps):
            self.go()
        self.wait()
        seconds = (time.perf_counter() - begun) / self.steps
        most = self.peak() or resident("VmHWM") - self.held
        return {"seconds": seconds, "peak_mib": most / 2**20, "first_s": self.first_s, "parameters": self.parameters}


def configure(base: c.Config, part: str, dtype: str) -> c.Config:
    """The configuration of a part; ``as configured`` is the fusion with the inputs that it has."""
    model = dataclasses.replace(base.model, bfloat16=dtype == "bfloat16")
    if part != "as configured":
        micro = dataclasses.replace(model.micro, inputs=("difference",))
        model = dataclasses.replace(model, branches=PARTS[part], micro=micro)
    return dataclasses.replace(base, model=model)


def make_ours(config: c.Config, batch: int, steps: int) -> Turn:
    held = resident()
    # One device, as the peer has.
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    replicated, split = state.shardings(mesh)
    tx = optim.build(config.optim, config.train.steps)
    current = [state.create(config.model, tx, 0, replicated)]
    run = step.make_train_step(state.graphs(config.model), tx, config.optim, replicated)
    clips, key = jax.device_put(cost.noise(batch, config.data), split), jax.random.key(0)

    def go() -> None:
        current[0], _ = run(current[0], clips, key)

    def wait() -> None:
        jax.block_until_ready(current[0])

    wait()
    begun = time.perf_counter()
    try:
        go()
        wait()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise Unavailable("out of memory") from error
        raise
    first = time.perf_counter() - begun
    return Turn(go, wait, steps, held, first, state.count(current[0].params), jax_peak)


def make_torch(config: c.Config, batch: int, steps: int, compiled: bool) -> Turn:
    from peers import torch_training

    held = resident()
    clips = cost.noise(batch, config.data)
    begun = time.perf_counter()
    made = torch_training.start(config, (clips.frames, clips.landmarks, clips.label), compiled)
    first = time.perf_counter() - begun
    count = torch_training.parameters(made.model)
    return Turn(made, made.wait, steps, held, first, count, torch_training.peak_bytes)


def jax_peak() -> int | None:
    """Most that the GPU's allocator gave out; None without a GPU."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def make_product(library: str, size: int, dtype: str) -> Callable[[], float]:
    """Arithmetic a second of one product of two matrices, the best of several."""
    multiply = {"ours": _product, "PyTorch": _torch_product}[library](size, dtype)

    def best() -> float:
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            multiply()
            seconds.append(time.perf_counter() - begun)
        return 2 * size**3 / min(seconds)

    return best


def _product(size: int, dtype: str) -> Callable[[], object]:
    one, multiply = jnp.ones((size, size), dtype), jax.jit(jnp.dot)
    return lambda: jax.block_until_ready(multiply(one, one))


def _torch_product(size: int, dtype: str) -> Callable[[], None]:
    from peers import torch_training

    return torch_training.product(size, dtype == "bfloat16")


def ways(base: c.Config, size: Size) -> dict[str, dict]:
    """Every way in a process of its own, because its peak is that of the process."""
    most, makes = size.batches[-1], {}

    def add(library: str, part: str, batch: int, dtype: str) -> None:
        given = (configure(base, part, dtype), batch, size.steps)
        make = (make_ours, *given) if library == "ours" else (make_torch, *given, library != "PyTorch")
        makes[Way(library, part, batch, dtype)] = make

    for dtype in DTYPES:
        add("ours", "fusion", most, dtype)
        add("PyTorch", "fusion", most, dtype)
        if size.compiled:
            add("PyTorch, compiled", "fusion", most, dtype)
    for dtype in size.dtypes:
        for part, batch in [("fusion", batch) for batch in size.batches[:-1]] + [(part, most) for part in BRANCHES]:
            add("ours", part, batch, dtype)
            add("PyTorch", part, batch, dtype)
        add("ours", "as configured", most, dtype)
    return {str(way): {way: make} for way, make in makes.items()}


def ceilings(size: Size, rounds: int) -> dict[str, float]:
    """Most arithmetic a second in a product of matrices, by dtype."""
    makes = {
        library: {(library, dtype): (make_product, library, size.product, dtype) for dtype in DTYPES}
        for library in ("ours", "PyTorch")
    }
    with Ways(makes) as products:
        found = products.rounds(rounds)
    return {dtype: max(max(rates) for (_, of), rates in found.items() if of == dtype) for dtype in DTYPES}


def measure(base: c.Config, size: Size, rounds: int) -> dict:
    """The rows of one part and one batch size took turns; on a GPU, whose memory they would share, each came alone."""
    groups, found, missing = {}, {}, {}
    for name, inside in ways(base, size).items():
        (way,) = inside
        together = (way.part, way.batch) if jax.default_backend() == "cpu" else way
        groups.setdefault(together, {})[name] = inside
    flops = {part: cost.flops(configure(base, part, "float32")) for part in (*PARTS, "as configured")}
    for some in groups.values():
        with Ways(some) as taking:
            found |= taking.rounds(rounds)
            missing |= {f"{way.library}, {way.part}, {way.dtype}": why for way, why in taking.missing.items()}
    ceiling = ceilings(size, rounds)
    rows = [row(way, turns, base.data.frames, flops[way.part], ceiling[way.dtype]) for way, turns in found.items()]
    return {
        "configuration": f"fusion.py:{size.variant}",
        "frames": base.data.frames,
        "pixels": base.data.size,
        "device": jax.devices()[0].device_kind,
        "ceiling_gflops": {dtype: round(rate / 1e9) for dtype, rate in ceiling.items()},
        "forward_gflop_per_clip": {part: round(count / 1e9, 2) for part, count in flops.items()},
        "steps": rows,
        "targets": targets(rows, size.batches[-1]),
        "missing": missing,
    }


def row(way: Way, turns: list[dict], frames: int, flops: float, ceiling: float) -> dict:
    seconds = float(np.median([one["seconds"] for one in turns]))
    return {
        **dataclasses.asdict(way),
        "ms_per_step": round(1e3 * seconds, 1),
        "frames_per_s": round(way.batch * frames / seconds, 1),
        "utilisation": round(3 * flops * way.batch / seconds / ceiling, 3),
        "peak_mib": round(max(one["peak_mib"] for one in turns)),
        "first_step_s": round(turns[-1]["first_s"], 1),
        "parameters": turns[-1]["parameters"],
    }


def targets(rows: list[dict], batch: int) -> list[dict]:
    """Ours beside PyTorch as it stands, uncompiled, part by part."""
    speed = {(one["library"], one["part"], one["batch"], one["dtype"]): one["frames_per_s"] for one in rows}
    return [
        target(f"{library} / PyTorch, {part}, {dtype}", 1.0, ratio(fast, speed.get(("PyTorch", part, batch, dtype))))
        for (library, part, of, dtype), fast in speed.items()
        if library == "ours" and part in PARTS and of == batch
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    size = SIZES[given.size]
    base = runpy.run_path(str(CONFIGS / "fusion.py"))["get_config"](size.variant)
    print(json.dumps(measure(base, size, given.rounds)))


if __name__ == "__main__":
    main()
