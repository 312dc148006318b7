"""The plan of the house: imports go one way, a module is worth its file, and names say what is inside."""

import ast
import collections
import fnmatch
import functools
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "fusion_dfd"
LAYERS = [
    "types", "atomic", "archives", "terminal", "process_pool", "process_limits", "cache",
    "options", "model_options", "config", "weights", "datasets",
    "faces", "synthetic", "forge", "shards", "input",
    "backbones", "models", "evaluation", "reports", "quality", "training", "runs", "peers", "export", "predict",
    "explain", "configs", "serve", "commands", "cli",
]  # fmt: skip
"""A module imports from its own layer and from those before it."""
ENTRANCES = [
    "cli",
    "configs.*",
    "commands.*",
    "export.onnx.walk",
    "quality.check",
    "serve.server",
    "shards.beam",
    "*.registry",
]
"""Modules that people or other programs start, or that are chosen by name."""
REGISTRIES = [
    "datasets.registry", "models.registry", "backbones.registry", "faces.detector", "export.onnx.primitives",
    "forge.registry",
]  # fmt: skip
"""What one of these imports is an entrance too: it is chosen by name."""
WRITERS = [
    "atomic",
    "predict.bulk", "peers.score", "training.logger",  # append lines; what reads them ends before half a line
    "runs.search",  # a lock, and what is to be removed
    "serve.files", "serve.service", "serve.upload",  # videos that arrive, and are moved when they are whole
    "weights.keras_process",  # to a pipe
]  # fmt: skip
"""Modules that open files for writing or rename them. The others write by :mod:`fusion_dfd.atomic`."""
SHORT, LONG = 80, 400
"""Lines up to which a module has two importers, and lines that no module exceeds."""


def named(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {named(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"}


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imported(path: pathlib.Path) -> frozenset[str]:
    """Dotted names that a file imports, wherever in the file; ``from a import b`` is ``a.b``."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{name.name}" for name in node.names]
    return frozenset(found)


def imports(path: pathlib.Path) -> set[str]:
    """The package's modules that a file imports."""
    inside = {name.removeprefix("fusion_dfd.") for name in imported(path) if name.startswith("fusion_dfd.")}
    return {module for name in inside for module in (name, name.rpartition(".")[0]) if module in MODULES}


@functools.cache
def top_level(module: str) -> frozenset[str]:
    """What a module of the package, or a package within it, defines or imports at its top level."""
    path = MODULES.get(module) or PACKAGE.joinpath(*filter(None, module.split(".")), "__init__.py")
    found = {"__name__", "__file__", "__doc__", "__path__", "__dict__"}
    found |= {name.removeprefix(f"{module}.").split(".")[0] for name in MODULES if name.startswith(f"{module}.")}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(name.asname or name.name).split(".")[0] for name in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


def lacking(path: pathlib.Path) -> list[str]:
    """What a file takes from a module of the package that does not have it: ``module.name``."""
    nodes, known, found = list(ast.walk(tree(path))), {}, []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fusion_dfd":
            origin = node.module.removeprefix("fusion_dfd").removeprefix(".")
            for name in node.names:
                inside = f"{origin}.{name.name}".removeprefix(".")
                if inside in MODULES:
                    known[name.asname or name.name] = inside
                elif origin and name.name not in top_level(origin):
                    found.append(inside)
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    uses = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    taken = [(known[use.value.id], use.attr) for use in uses if use.value.id in known.keys() - own]
    return found + [f"{module}.{name}" for module, name in taken if name not in top_level(module)]


def lines(path: pathlib.Path) -> int:
    return len(path.read_text().splitlines())


def test_what_is_taken_from_a_module_is_there():
    files = [path for folder in ("fusion_dfd", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert {str(path.relative_to(ROOT)): names for path in files if (names := lacking(path))} == {}


def test_every_module_has_a_layer():
    assert {name.split(".")[0] for name in MODULES} == set(LAYERS)


def test_imports_go_up_the_layers():
    places = {name: LAYERS.index(name.split(".")[0]) for name in MODULES}
    arrows = [(name, other) for name, path in MODULES.items() for other in imports(path)]
    assert [f"{name} imports {other}" for name, other in arrows if places[other] > places[name]] == []


def test_imports_make_no_circle():
    """Raises graphlib.CycleError, which names the modules."""
    graphlib.TopologicalSorter({name: imports(path) for name, path in MODULES.items()}).prepare()


def test_a_module_has_two_importers_or_is_an_entrance_or_long():
    importers = collections.Counter(
        name
        for folder in ("fusion_dfd", "scripts", "benchmarks", "configs")
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(path)
    )
    entrances = {name for name in MODULES if any(fnmatch.fnmatch(name, pattern) for pattern in ENTRANCES)}
    entrances |= {name for registry in REGISTRIES for name in imports(MODULES[registry])}
    short = [name for name, path in MODULES.items() if importers[name] < 2 and lines(path) <= SHORT]
    assert [f"{name}: {lines(MODULES[name])} lines" for name in short if name not in entrances] == []


def test_no_module_is_long():
    assert [f"{name}: {lines(path)} lines" for name, path in MODULES.items() if lines(path) > LONG] == []


def test_core_imports_no_optional_framework():
    never = {"tensorflow", "torch", "keras", "mtcnn", "retinaface", "tensorflow_datasets"}
    not_at_once = {"h5py", "huggingface_hub", "onnx", "onnxruntime"}
    for name, path in MODULES.items():
        assert not {module.split(".")[0] for module in imported(path)} & never, name
        first = {
            one.name.split(".")[0] for node in tree(path).body if isinstance(node, ast.Import) for one in node.names
        }
        assert not first & not_at_once, f"{name}: import it in the function that wants it"


def test_the_web_framework_stays_in_its_layer():
    web = {"fastapi", "starlette", "uvicorn", "pydantic"}
    for name, path in MODULES.items():
        assert name.startswith("serve.") or not {module.split(".")[0] for module in imported(path)} & web, name


def writes(call: ast.Call) -> bool:
    """Whether a call opens a file for writing, or writes, copies or renames one, in any way but the module atomic's."""
    if isinstance(call.func, ast.Name):
        modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
        constant = [str(mode.value) for mode in modes if isinstance(mode, ast.Constant)]
        return call.func.id == "open" and any(set(mode) & set("wax+") for mode in constant)
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
    if call.func.attr in ("write_text", "write_bytes"):
        return owner != "atomic"
    return f"{owner}.{call.func.attr}" in ("os.rename", "os.replace", "shutil.copy", "shutil.copyfile", "shutil.move")


def test_files_are_written_whole_or_not_at_all():
    calls = [(name, call) for name, path in MODULES.items() for call in ast.walk(tree(path))]
    found = {name for name, call in calls if isinstance(call, ast.Call) and writes(call)}
    assert sorted(found) == sorted(WRITERS)


def test_no_file_is_a_drawer():
    assert not {name.split(".")[-1] for name in MODULES} & {"utils", "util", "helpers", "common", "misc"}


def test_scripts_are_thin():
    for path in (ROOT / "scripts").glob("*.py"):
        assert lines(path) <= 50, path.name


def test_tests_are_named_for_what_there_is():
    """tests/a/test_b.py, or test_b_and_more.py, tests a/b.py."""
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for path in (ROOT / "tests").rglob("test_*.py"):
        parts = path.relative_to(ROOT / "tests").with_suffix("").parts
        words = parts[-1].removeprefix("test_").split("_")
        meant = {".".join((*parts[:-1], "_".join(words[:count]))) for count in range(1, len(words) + 1)}
        assert parts[0] not in folders or not meant.isdisjoint(MODULES), path
