"""Bound methods: one file each, whose `METHOD` says in which steps and at what price it works."""

from collections.abc import Mapping
from functools import cache

import qdeploy.certifier.methods
from qdeploy.certifier.method import Method, Pursuit, Question, Standing
from qdeploy.registry import discover

ON_REQUEST = frozenset({"sdp_paper"})
"""Methods that are used only where somebody names them."""

__all__ = ["ON_REQUEST", "Method", "Pursuit", "Question", "Standing", "known_methods"]


@cache
def known_methods() -> Mapping[str, Method]:
    """Every bound method by name, cheap ones first."""
    found = discover(qdeploy.certifier.methods, "METHOD", Method)  # type: ignore[type-abstract]
    return dict(sorted(found.items(), key=lambda item: item[1].rank))
