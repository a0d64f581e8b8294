from __future__ import annotations

from pathlib import Path

import pytest

from hoiclip.cache import BuildCache

FACTS = {"kind": "openvino", "model": "m", "canvas": "256x448", "batch": 4}


def test_an_unfinished_build_is_not_among_the_entries(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    part = cache.begin(FACTS)
    (part / "facts.json").write_text("{}")
    (part / "graph").write_bytes(b"half")
    assert cache.entries() == []
    assert cache.find(FACTS) is None


def test_a_finished_build_is_found_by_exactly_its_facts(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    part = cache.begin(FACTS)
    (part / "graph").write_bytes(b"whole")
    folder = cache.commit(FACTS, part)
    assert cache.find(FACTS) == folder
    assert (folder / "graph").read_bytes() == b"whole"
    assert not part.exists()
    for other in ({**FACTS, "batch": 8}, {**FACTS, "model": "n"}, {**FACTS, "more": 1}):
        assert cache.find(other) is None
    (entry,) = cache.entries()
    assert (entry.path, entry.facts) == (folder, FACTS)
    assert entry.size_bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_a_build_with_the_facts_of_another_in_its_place_is_not_returned(tmp_path: Path) -> None:
    """As after a change of how folders are named, or by hand."""
    cache = BuildCache(tmp_path)
    folder = cache.commit({**FACTS, "batch": 8}, cache.begin({**FACTS, "batch": 8}))
    folder.rename(cache.folder(FACTS))
    assert cache.find(FACTS) is None


def test_what_an_interrupted_build_left_is_not_in_the_next_one_and_the_next_takes_its_place(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    (cache.begin(FACTS) / "left over").write_bytes(b"x")
    for content in (b"old", b"new"):
        part = cache.begin(FACTS)
        assert list(part.iterdir()) == []
        (part / "graph").write_bytes(content)
        folder = cache.commit(FACTS, part)
    assert (folder / "graph").read_bytes() == b"new"


@pytest.mark.parametrize("facts", ["{", ""])
def test_damaged_facts_are_no_build_and_hide_no_other(tmp_path: Path, facts: str) -> None:
    cache = BuildCache(tmp_path)
    broken = cache.commit(FACTS, cache.begin(FACTS))
    (broken / "facts.json").write_text(facts)
    sound = cache.commit({**FACTS, "batch": 1}, cache.begin({**FACTS, "batch": 1}))
    assert cache.find(FACTS) is None
    assert [entry.path for entry in cache.entries()] == [sound]


def test_pruning_removes_everything_and_says_how_much(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    folder = cache.commit(FACTS, cache.begin(FACTS))
    (cache.begin({**FACTS, "batch": 1}) / "half").write_bytes(bytes(1000))
    size = (folder / "facts.json").stat().st_size
    assert cache.prune() == 1000 + size
    assert cache.entries() == []
    assert cache.prune() == 0
