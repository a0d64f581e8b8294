"""Tests that share a slow fixture share a worker."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("grouping")
def test_the_scheduler_is_told_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("runs without --dist loadgroup")
    assert request.node.nodeid.endswith("@grouping")
