from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hoistream

PACKAGE = Path(hoistream.__file__).parent
HEAVY = (
    "numpy",
    "torch",
    "av",
    "cv2",
    "redis",
    "pydantic",
    "rich",
    "typer",
    "openvino",
    "pyarrow",
    "PIL",
    "matplotlib",
)


def in_a_fresh_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, hoistream; print([m for m in {HEAVY} if m in sys.modules])"
    assert in_a_fresh_process(code) == "[]"


def test_events_are_read_without_numpy_video_or_torch() -> None:
    code = (
        "import sys, hoistream; hoistream.subscribe, hoistream.InteractionEvent\n"
        "print([m for m in ('numpy', 'torch', 'av', 'scipy', 'openvino', 'PIL') if m in sys.modules])"
    )
    assert in_a_fresh_process(code) == "[]"


def test_every_public_name_is_there_documented_and_listed() -> None:
    assert hoistream.__all__ == sorted(hoistream.__all__)
    assert dir(hoistream) == hoistream.__all__
    for name in hoistream.__all__:
        value = getattr(hoistream, name)
        if name not in ("__version__", "Event"):
            assert value.__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(hoistream, "wacth")
    with pytest.raises(AttributeError, match="no attribute 'wacth'"):
        hoistream.wacth  # noqa: B018


def test_type_checkers_see_the_same_names_as_programs() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        (alias.asname or alias.name): node.module
        for node in ast.walk(guarded)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted([*imported, "__version__"]) == hoistream.__all__
    for name, module in imported.items():
        if name not in ("Source", "Event"):
            assert getattr(hoistream, name).__module__ == module, name
    assert (PACKAGE / "py.typed").is_file()


def test_a_type_checker_reads_the_public_types(tmp_path: Path) -> None:
    script = tmp_path / "uses.py"
    script.write_text(
        "import hoistream\n"
        "model = hoistream.load_model('demo')\n"
        "reveal_type(model.predict('a.jpg')[0].human_box)\n"
        "with hoistream.watch('a.mp4', model=model) as events:\n"
        "    for event in events:\n"
        "        reveal_type(event)\n"
        "reveal_type(hoistream.TrackerSettings(enter_score=0.4).enter_score)\n"
        "hoistream.watch('a.mp4', buffre=3)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(script)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent).stdout
    assert 'Revealed type is "tuple[float, float, float, float]"' in found.replace("builtins.", "")
    assert "InteractionEvent | " in found.replace("stream.events.schema.", "").replace("Union[", "").replace(
        ", ", " | "
    )
    assert 'Revealed type is "float"' in found.replace("builtins.", "")
    assert 'Unexpected keyword argument "buffre"' in found


def test_a_missing_part_of_the_installation_is_named_with_the_line_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import hoistream\n"
        "try:\n    hoistream.watch\nexcept hoistream.InputError as error:\n    print(error)"
    )
    assert in_a_fresh_process(code) == (
        "hoistream.watch needs the extra `run` (numpy is not installed): pip install 'hoistream[run]'"
    )
