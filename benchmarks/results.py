"""What the benchmarks printed, as one page.

    python benchmarks/results.py FOLDER > RESULTS.md

FOLDER has ``NAME.json`` for every benchmark that was run: the line it printed. A list of rows becomes a table, other
values one line; nothing is computed here.
"""

import ast
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

HERE = pathlib.Path(__file__).parent
ORDER = ("input", "recurrent", "train_step", "predict", "prepare", "detectors", "scale", "large", "bulk", "soak")
LIBRARIES = (
    "jax", "flax", "optax", "numpy", "opencv-python-headless", "simplejpeg", "onnxruntime",
    "tensorflow-cpu", "torch", "keras", "albumentations",
)  # fmt: skip


def page(folder: pathlib.Path) -> str:
    found = {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.json"))}
    names = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    sections = [section(name, found[name]) for name in names]
    return "\n\n".join(["# Benchmarks", "Made by `make bench`; not written by hand.", facts(), *sections]) + "\n"


def facts() -> str:
    """Hardware, versions and date."""
    rows = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "processor": f"{processor()}, {len(os.sched_getaffinity(0))} threads",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "accelerator": accelerator(),
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
    return table([{"": name, "of this run": value} for name, value in rows.items()])


def processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def accelerator() -> str:
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def section(name: str, line: str) -> str:
    """What the benchmark says of itself, its values and tables, and the line as it was printed."""
    values = json.loads(line)
    tables = {key: value for key, value in values.items() if is_rows(value)}
    plain = {key: value for key, value in values.items() if key not in tables and value not in ({}, [])}
    parts = [f"## {name}", about(name)]
    if plain:
        parts.append("\n".join(f"- {words(key)}: {show(value)}" for key, value in plain.items()))
    parts += [f"**{words(key)}**\n\n{table(rows)}" for key, rows in tables.items()]
    return "\n\n".join([*parts, f"```json\n{line}\n```"])


def about(name: str) -> str:
    """The first words of a benchmark's file."""
    return ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""


def is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[words(column) for column in columns], ["---"] * len(columns)]
    lines += [[show(row.get(column)) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def words(key: str) -> str:
    return key.replace("_", " ")


def show(value: Any) -> str:
    """A cell; nothing where nothing was measured."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{words(str(key))} {show(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(show, value))
    return str(value)


def main() -> None:
    (folder,) = sys.argv[1:]
    sys.stdout.write(page(pathlib.Path(folder)))


if __name__ == "__main__":
    main()
