"""The shape of the code: imports go down, every thing has one home, files stay readable, cited names exist.

Each rule is a function over sources that lists what breaks it. It is applied to the whole tree, which has to be clean,
and to a few lines that break it, which it has to find.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    **dict.fromkeys(("errors", "scores", "trigger", "version"), 0),
    "files": 0.5,  # with the next ones on the first floor, where everybody else writes with it
    "remote": 0.7,  # files of other places, cached with the same hands
    **dict.fromkeys(("items", "names"), 0.8),  # whose paths may lead there
    **dict.fromkeys(("engine", "device", "turns", "config", "tables"), 1),
    **dict.fromkeys(("weights", "video"), 2),
    **dict.fromkeys(("face", "flow", "encode"), 3),
    **dict.fromkeys(("metrics", "model", "synth"), 4),
    **dict.fromkeys(("baselines", "testsets", "published"), 5),
    **dict.fromkeys(("runs", "data"), 6),
    "reports": 7,
    "studies": 8,
    "cli": 9,
    "": 10,  # the package itself: it opens the command line and looks up the public names
}
"""An import goes to a lower floor or stays in its room; rooms of one floor do not know each other."""

NOT_FOR = {
    "model": {"flow", "encode"},
    "synth": {"flow", "encode"},
    "baselines": {"flow", "encode", "metrics", "synth"},
}
"""Lower rooms that a room does without all the same."""

HOMES = {
    "dlib": ("mmbench/face/dlib/",),
    "onnxruntime": ("mmbench/face/insightface/",),
    "insightface": ("mmbench/face/insightface/",),
}
"""The only places where a library is imported: its networks are opened there and nowhere else."""

FILES_ONLY = {
    "getpid": "a temporary name",
    "mkstemp": "a temporary name",
    "NamedTemporaryFile": "a temporary name",
    "os_cache": "a cache folder",
    "user_cache_dir": "a cache folder",
}
"""Calls that only `mmbench/files.py` makes: one whole-or-nothing write, one cache root."""

MAX_LINES, MAX_FUNCTION, MAX_ARGUMENTS, MAX_FILES = 400, 60, 8, 13
ENTRY_POINTS = {"mmbench.metrics", "mmbench.models"}
"""Groups by which other packages bring metrics and models: names of groups, not of modules."""


@dataclass(frozen=True)
class Source:
    """One file of Python: `path` from the root of the repository, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def module(self) -> str:
        """Dotted name once installed: folders beside `mmbench/` become its sub-packages."""
        parts = list(Path(self.path).with_suffix("").parts)
        parts = parts[1:] if parts[0] == "reports" else parts
        parts = parts if parts[0] == "mmbench" else ["mmbench", *parts]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def room(self) -> str:
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""

    @cached_property
    def imports(self) -> list[tuple[int, str, tuple[str, ...]]]:
        """(line, module, names) of every import, also inside functions; those for type checking are left out."""
        typing_only = {
            id(node)
            for block in ast.walk(self.tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for node in ast.walk(block)
        }
        found: list[tuple[int, str, tuple[str, ...]]] = []
        for node in ast.walk(self.tree):
            if id(node) in typing_only:
                continue
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found.append((node.lineno, module, tuple(alias.name for alias in node.names)))
            elif isinstance(node, ast.Import):
                found += [(node.lineno, alias.name, ()) for alias in node.names]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                found += [(node.lineno, a.value, ()) for a in node.args if isinstance(a, ast.Constant) and a.value]
        return found

    @cached_property
    def functions(self) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
        """Every function with the class it is a method of."""
        owners = {id(child): n for n in ast.walk(self.tree) if isinstance(n, ast.ClassDef) for child in n.body}
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        return [(node, owners.get(id(node))) for node in ast.walk(self.tree) if isinstance(node, kinds)]

    @cached_property
    def docstrings(self) -> list[tuple[int, str]]:
        """(line, text) of every docstring, and of the strings that stand below constants and fields."""
        return [
            (node.lineno, node.value.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ]


Sources = list[Source]


def sources() -> Sources:
    """Everything that is installed."""
    paths = [path for top in ("mmbench", "baselines", "testsets", "reports") for path in (ROOT / top).rglob("*.py")]
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in sorted(paths)]


def ours(source: Source, known: Mapping[str, Source]) -> Iterator[tuple[int, str]]:
    """(line, module) of each import of a module of ours."""
    for line, module, names in source.imports:
        if module == "mmbench" or module.startswith("mmbench."):
            targets = [f"{module}.{name}" if f"{module}.{name}" in known else module for name in names]
            for target in targets or [module]:
                yield line, target


def by_module(tree: Sources) -> dict[str, Source]:
    return {source.module: source for source in tree}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def upward_imports(tree: Sources) -> Iterator[str]:
    known = by_module(tree)
    for source in tree:
        if source.room not in FLOORS:
            yield f"{source.path}: the room {source.room!r} has no floor"
            continue
        for line, target in ours(source, known):
            room = room_of(target)
            if room == source.room:
                continue
            if FLOORS.get(room, 99) >= FLOORS[source.room]:
                yield f"{source.path}:{line}: {source.room or 'mmbench'} imports {target}, which is not below it"
            elif room in NOT_FOR.get(source.room, ()):
                yield f"{source.path}:{line}: {source.room} does without {room}"


def relative_imports(tree: Sources) -> Iterator[str]:
    for source in tree:
        for line, module, _ in source.imports:
            if module.startswith("."):
                yield f"{source.path}:{line}: write imports out from mmbench on"


def circles(tree: Sources) -> Iterator[str]:
    """Modules, and rooms, that lead back to themselves."""
    known = by_module(tree)
    modules: dict[str, set[str]] = defaultdict(set)
    rooms: dict[str, set[str]] = defaultdict(set)
    for source in tree:
        for _, target in ours(source, known):
            if target != source.module:
                modules[source.module].add(target)
            if room_of(target) != source.room:
                rooms[source.room].add(room_of(target))
    for what, graph in (("modules", modules), ("rooms", rooms)):
        reach = {start: reachable(graph, start) for start in graph}
        around = {frozenset(n for n in reach[s] if s in reach.get(n, ())) for s in graph if s in reach[s]}
        yield from sorted(f"circle of {what}: {', '.join(sorted(names))}" for names in around)


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for following in graph.get(waiting.pop(), ()):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return seen


def libraries_away_from_home(tree: Sources) -> Iterator[str]:
    for source in tree:
        for line, module, _ in source.imports:
            homes = HOMES.get(module.split(".")[0])
            if homes and not source.path.startswith(homes):
                yield f"{source.path}:{line}: {module} is opened in {homes[0]} only"


def temporary_names_and_caches(tree: Sources) -> Iterator[str]:
    for source in tree:
        if source.path == "mmbench/files.py":
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rsplit(".", 1)[-1]
                if name in FILES_ONLY:
                    yield f"{source.path}:{node.lineno}: {FILES_ONLY[name]} is made in mmbench/files.py only"


def long_files(tree: Sources) -> Iterator[str]:
    for source in tree:
        if (lines := len(source.text.splitlines())) > MAX_LINES:
            yield f"{source.path}: {lines} lines"


def crowded_folders(tree: Sources) -> Iterator[str]:
    """More files than one can keep in mind, unless `__init__` gives the order in which to read all of them."""
    folders: dict[str, list[Source]] = defaultdict(list)
    for source in tree:
        folders[str(Path(source.path).parent)].append(source)
    for folder, inside in folders.items():
        names = [Path(source.path).stem for source in inside if Path(source.path).stem != "__init__"]
        guide = next((ast.get_docstring(s.tree) or "" for s in inside if s.path.endswith("__init__.py")), "")
        unnamed = [name for name in names if f"`{name}`" not in guide]
        if len(names) > MAX_FILES and unnamed:
            yield f"{folder}: {len(names)} files, and its __init__ does not say where {', '.join(unnamed)} belong"


def long_functions(tree: Sources) -> Iterator[str]:
    """Calls in the manner of diffusers, and commands, may take what they take; their bodies are measured alone."""
    for source in tree:
        for function, owner in source.functions:
            given = function.args
            arguments = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            arguments = [name for name in arguments if name not in ("self", "cls")]
            free = is_command(function) or is_kernel(function) or is_diffusers_call(function, owner)
            if len(arguments) > MAX_ARGUMENTS and not free:
                yield f"{source.path}:{function.lineno}: {function.name} takes {len(arguments)} arguments"
            body = function.body[1:] if free and ast.get_docstring(function) is not None else function.body
            first = body[0].lineno if free and body else function.lineno
            lines = (function.end_lineno or first) - first + 1
            if lines > MAX_FUNCTION:
                yield f"{source.path}:{function.lineno}: {function.name} has {lines} lines"


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """An option is spelt as an annotated argument, so a command's signature is its help page."""
    return any(
        arg.annotation is not None and re.search(r"\b(Option|Argument)\(", ast.unparse(arg.annotation))
        for arg in (*function.args.args, *function.args.kwonlyargs)
    )


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Compiled kernels take every pointer and stride by itself."""
    return any(re.search(r"\bn?jit\b|autotune", ast.unparse(decorator)) for decorator in function.decorator_list)


def is_diffusers_call(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None) -> bool:
    """`__init__` of a configured class, `__call__` of a pipeline or an attention processor: diffusers sets their form.

    So it does for the `forward` of its models, and of the network that is trained around one: tensor by tensor.
    """
    if owner is None:
        return False
    bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in owner.bases]
    if function.name == "forward" and owner.name.endswith("Model") and "Module" in bases:
        return True
    kinds = r"(ConfigMixin|ModelMixin|Pipeline|Transformer\dDModel|AttnProcessor)$"
    theirs = any(re.search(kinds, name) for name in (owner.name, *bases))
    return theirs and function.name in ("__init__", "__call__", "forward", "encode_prompt")


def repeated_class_names(tree: Sources) -> Iterator[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for source in tree:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(source.path)
    for name, paths in found.items():
        if len(paths) > 1:
            yield f"{name} stands in {', '.join(paths)}"


def cited_names(texts: Iterable[tuple[str, str]], known: Mapping[str, Source]) -> Iterator[str]:
    """Names of ours in (where, text) that lead nowhere."""
    for where, text in texts:
        for match in re.finditer(r"(?<![\w./@-])mmbench(?:\.[A-Za-z_]\w*)+", text):
            name = match[0]
            if name not in ENTRY_POINTS and not exists(name, known):
                yield f"{where}: {name} does not exist"


def exists(name: str, known: Mapping[str, Source]) -> bool:
    parts = name.split(".")
    cut = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in known)
    if cut == len(parts) or any(module.startswith(f"{name}.") for module in known):
        return True
    if cut == 1 and not re.search(rf"\b{parts[1]}\b", known["mmbench"].text):
        return False
    value: object = import_module(".".join(parts[:cut]))
    for attribute in parts[cut:]:
        fields = getattr(value, "__annotations__", {})
        if not hasattr(value, attribute) and attribute not in fields:
            return False
        value = getattr(value, attribute, None)
    return True


def cited_documents(tree: Sources) -> Iterator[str]:
    """Documents that docstrings name and that are neither in the repository nor written by the program."""
    names = {path.name for path in ROOT.rglob("*.md")}
    for source in tree:
        for line, text in source.docstrings:
            for match in re.finditer(r"(?<![\w.-])[a-z0-9_/.-]*?([a-z0-9_-]+\.md)\b", text):
                if match[1] not in names:
                    yield f"{source.path}:{line}: there is no document {match[1]}"


def long_first_sentences(tree: Sources) -> Iterator[str]:
    """A docstring says on its first line what it is about: that line ends a sentence, and the linter keeps it short."""
    for source in tree:
        for line, text in source.docstrings:
            first, _, rest = text.strip().partition("\n")
            goes_on = bool(rest) and bool(rest.split("\n")[0].strip())
            if goes_on and not first.endswith(":") and not re.search(r"[.!?][\"'`)*]*(\s|$)", first):
                yield f"{source.path}:{line}: the first sentence does not end on its line: {first}"


RULES: tuple[Callable[[Sources], Iterator[str]], ...] = (
    upward_imports,
    relative_imports,
    circles,
    libraries_away_from_home,
    temporary_names_and_caches,
    long_files,
    crowded_folders,
    long_functions,
    repeated_class_names,
    cited_documents,
    long_first_sentences,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Callable[[Sources], Iterator[str]]) -> None:
    found = list(rule(sources()))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (upward_imports, {"mmbench/video/x.py": "def f():\n    from mmbench.runs import doctor"}),
        (upward_imports, {"mmbench/face/x.py": "import mmbench.flow.types"}),
        (upward_imports, {"mmbench/runs/x.py": "from mmbench import __version__"}),
        (upward_imports, {"mmbench/model/x.py": "from mmbench.encode import viclip"}),
        (upward_imports, {"mmbench/attic/x.py": ""}),
        (relative_imports, {"mmbench/video/x.py": "from . import y"}),
        (
            circles,
            {
                "mmbench/video/x.py": "from mmbench.video import y",
                "mmbench/video/y.py": "def f():\n    import mmbench.video.x",
            },
        ),
        (
            circles,
            {
                "mmbench/video/x.py": "import mmbench.weights.y",
                "mmbench/weights/y.py": "import mmbench.video.z",
                "mmbench/video/z.py": "",
            },
        ),
        (libraries_away_from_home, {"baselines/x.py": "import onnxruntime as rt"}),
        (libraries_away_from_home, {"testsets/x.py": "def f():\n    from dlib import point"}),
        (temporary_names_and_caches, {"mmbench/runs/x.py": "p = q.with_name(f'.{q.name}.{os.getpid()}')"}),
        (temporary_names_and_caches, {"mmbench/synth/x.py": "pooch.os_cache('mmbench')"}),
        (long_files, {"mmbench/video/x.py": "\n" * 401}),
        (crowded_folders, {f"mmbench/video/{letter}.py": "" for letter in "abcdefghijklmn"}),
        (long_functions, {"mmbench/video/x.py": "def f():\n" + "    pass\n" * 60}),
        (long_functions, {"mmbench/video/x.py": "def f(a, b, c, d, e, f, g, h, *, i): pass"}),
        (long_functions, {"mmbench/cli/x.py": "def f(a: Annotated[int, Option()]):\n" + "    pass\n" * 61}),
        (repeated_class_names, {"mmbench/video/x.py": "class A: ...", "baselines/x.py": "class A: ..."}),
        (long_first_sentences, {"mmbench/video/x.py": '"""What goes on\nover two lines."""'}),
        (cited_documents, {"mmbench/video/x.py": '"""The rules are in no_such_document.md 5."""'}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_rule_finds_what_breaks_it(rule: Callable[[Sources], Iterator[str]], broken: Mapping[str, str]) -> None:
    assert list(rule([Source(path, text) for path, text in broken.items()]))


def test_names_in_docstrings_and_markdown_exist() -> None:
    tree = sources()
    skipped = {".git", ".tox", ".venv", "node_modules", "build", "shared"}
    documents = [path for path in ROOT.rglob("*.md") if not skipped & set(path.relative_to(ROOT).parts)]
    texts = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in documents]
    texts += [(f"{source.path}:{line}", text) for source in tree for line, text in source.docstrings]
    known = by_module(tree)
    found = list(cited_names(texts, known))
    assert not found, "\n".join(found)
    assert list(cited_names([("here", "see `mmbench.model.no_such_file` and mmbench.Nothing")], known))


@pytest.mark.parametrize("metric", sorted((ROOT / "mmbench" / "metrics").glob("*.py")), ids=lambda path: path.stem)
def test_every_metric_has_a_test_at_its_mirrored_path(metric: Path) -> None:
    if metric.stem not in ("__init__", "base", "registry"):
        assert (ROOT / "tests" / "metrics" / f"test_{metric.stem}.py").is_file()


def test_every_file_called_an_example_has_a_test() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"shape of `((?:mmbench|baselines|testsets)/[\w/]+\.py)`", text))
    assert named, "CONTRIBUTING.md names an example by its path"
    for name in named:
        path = Path(name)
        inside = path.parent.relative_to("mmbench") if path.parts[0] == "mmbench" else path.parent
        assert (ROOT / name).is_file(), name
        assert (ROOT / "tests" / inside / f"test_{path.stem}.py").is_file(), name


def test_importing_the_package_and_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "scipy", "matplotlib", "pandas", "transformers", "diffusers", "av", "cv2", "dlib", "pydantic")
    code = f"import sys, mmbench, mmbench.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_called_utils() -> None:
    assert not [s.path for s in sources() if Path(s.path).stem in {"utils", "util", "helpers", "common", "misc"}]
