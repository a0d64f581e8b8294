from __future__ import annotations

import importlib
from pathlib import Path

from tests.mutants.report import PARTS, change_of, function_of, load_equivalent, part_of
from tests.mutants.sampling import drawn

ROOT = Path(__file__).resolve().parents[2]


def test_a_larger_part_contains_a_smaller_one_and_a_seed_draws_the_same_again() -> None:
    names = [f"module.x_function__mutmut_{number}" for number in range(2000)]
    small, large = drawn(names, 0.1, 7), drawn(names, 0.3, 7)
    assert set(small) < set(large)
    assert 140 < len(small) < 260
    assert drawn(names, 0.1, 7) == small != drawn(names, 0.1, 8)
    assert drawn(names, 1.0, 7) == names and drawn(names, 0.0, 7) == []


def test_a_mutants_function_is_named_as_people_write_it() -> None:
    assert function_of("stream.a.x_look__mutmut_3") == "stream.a.look"
    assert function_of("stream.a.xǁSpoolǁ_roll__mutmut_12") == "stream.a.Spool._roll"


def test_a_change_is_shown_as_the_lines_that_differ(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tests.mutants.report.FOLDER", tmp_path)
    lines = ["def x_f__mutmut_orig(a):", "    b = a", "    return a < b", "def x_f__mutmut_1(a):", "    b = a",
             "    return a <= b"]  # fmt: skip
    (tmp_path / "m.py").write_text("\n".join(lines))
    (tmp_path / "m.py.spans").write_text('{"spans": {"x_f__mutmut_orig": [1, 3], "x_f__mutmut_1": [4, 6]}}')
    assert change_of("m.x_f__mutmut_1", "m.py") == "return a < b => return a <= b"


def test_every_changed_file_belongs_to_a_part() -> None:
    for folder in ("stream/track", "stream/publish", "stream/subscribe", "stream/ingest", "hoiclip/evaluation"):
        for path in (ROOT / folder).glob("*.py"):
            assert part_of(str(path.relative_to(ROOT))) in dict(PARTS)
    assert part_of("stream/publish/spool.py") == "spool"
    assert part_of("stream/publish/publisher.py") == "the rest of publishing"


def test_every_change_without_effect_is_one_of_a_function_that_exists_and_has_a_reason() -> None:
    for function, changes in load_equivalent().items():
        module = function
        while not (ROOT / f"{module.replace('.', '/')}.py").exists():
            module = module.rpartition(".")[0]
            assert module, function
        found = importlib.import_module(module)
        for name in function.removeprefix(f"{module}.").split("."):
            found = getattr(found, name)
        for change, why in changes.items():
            assert " => " in change
            assert len(why) > 10
