"""What loads what, checked in fresh interpreters; what our sources must never use; what the wheel holds."""

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sarathid", "sarathictl", "kernels/sarathi_kernels", "profiles/sarathi_profiles")

DECIDING_MODULES = (
    "sarathid.protocol.control",
    "sarathid.protocol.step",
    "sarathid.kvcache.manager",
    "sarathid.scheduler.scheduler",
    "sarathid.engine.core",
    "sarathid.executor.base",
    "sarathid.workload",
    "sarathid.workload_catalog",
    "sarathid.capacity",
    "sarathid.simulator.simulator",
)
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "multiprocessing"}
UNSAFE_NAMES = {"ProcessPoolExecutor"}  # what it calls travels in a pickle
UNSAFE_CALLS = {"eval", "exec", "torch.load", "os.system", "os.popen"}
UNSAFE_METHODS = {
    *("send_pyobj", "recv_pyobj", "send_serialized", "recv_serialized", "send_object", "recv_object"),
    *("send_object_list", "recv_object_list", "broadcast_object_list", "scatter_object_list"),
    *("gather_object", "all_gather_object"),
}
UNSAFE_KEYWORDS = {"shell", "allow_pickle"}


def run_python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_after(statements: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after `statements`."""
    listed = run_python("-c", f"import sys\n{statements}\nprint('loaded:', *sys.modules)")
    names = listed.rpartition("loaded:")[2].split()
    return {name.partition(".")[0] for name in names}


def run_main(package: str, *arguments: str) -> str:
    return (
        f"sys.argv = {[package, *arguments]!r}\n"
        f"from {package}.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code"
    )


@pytest.mark.parametrize("program", ["sarathid", "sarathictl"])
def test_help_loads_no_torch(program: str) -> None:
    loaded = modules_after(run_main(program, "--help"))

    assert not loaded & {"torch", "transformers", "textual", "numpy"}


def test_the_package_itself_loads_nothing_and_its_engine_no_torch_until_it_is_made() -> None:
    assert not modules_after("import sarathid") & {"torch", "msgspec", "numpy", "tokenizers"}
    assert not modules_after("from sarathid import LLM") & {"torch", "transformers", "starlette", "textual"}


def test_a_rank_that_is_to_die_with_its_parent_says_so_before_it_loads_torch() -> None:
    assert not modules_after("import sarathid.executor.rank_process") & {"torch", "numpy", "tokenizers"}


def test_the_live_view_loads_no_torch() -> None:
    loaded = modules_after("import sarathictl.tui.app")

    assert "textual" in loaded
    assert not loaded & {"torch", "transformers", "starlette"}


@pytest.mark.parametrize("module", DECIDING_MODULES)
def test_what_decides_loads_no_tensor_socket_or_web_server(module: str) -> None:
    loaded = modules_after(f"import {module}")

    assert not loaded & {"torch", "zmq", "starlette", "uvicorn", "textual"}


def test_the_wheel_holds_our_four_packages_alone(tmp_path: Path) -> None:
    run_python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        top_level = {name.partition("/")[0] for name in archive.namelist()}

    packages = {name for name in top_level if not name.endswith(".dist-info")}
    assert packages == {"sarathid", "sarathictl", "sarathi_kernels", "sarathi_profiles"}
    assert len(top_level - packages) == 1


def test_our_sources_unpickle_evaluate_and_shell_out_nowhere() -> None:
    found = [use for path in sources() for use in unsafe_uses(ast.parse(path.read_text()), path)]

    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "import torch\ntorch.load('x')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "socket.recv_pyobj()",
        "dist.all_gather_object(found, mine)",
        "import multiprocessing as mp",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor()",
        "numpy.load('x', allow_pickle=True)",
    ],
)
def test_an_unsafe_use_is_found(source: str) -> None:
    assert len(list(unsafe_uses(ast.parse(source), Path("example.py")))) == 1


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def unsafe_uses(tree: ast.AST, path: Path) -> Iterator[str]:
    """Yield `file:line: what` for each import or call that could run what a file or a peer says."""
    for node in ast.walk(tree):
        for what in _unsafe_names(node):
            yield f"{path}:{getattr(node, 'lineno', 0)}: {what}"


def _unsafe_names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name.partition(".")[0] in UNSAFE_MODULES)
        case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in UNSAFE_MODULES:
            yield module
        case ast.ImportFrom(names=names):
            yield from (alias.name for alias in names if alias.name in UNSAFE_NAMES)
        case ast.Call(func=func, keywords=keywords):
            name = ast.unparse(func)
            if name in UNSAFE_CALLS or name.rpartition(".")[2] in UNSAFE_METHODS | UNSAFE_NAMES:
                yield name
            for keyword in keywords:
                if keyword.arg in UNSAFE_KEYWORDS and ast.unparse(keyword.value) != "False":
                    yield f"{name}({keyword.arg}=...)"
