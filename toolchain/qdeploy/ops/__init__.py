"""Operators: one file each, with shape, real semantics and integer semantics."""

from qdeploy.ops._execution import evaluate, evaluate_exact, execute, execute_all, known_ops
from qdeploy.ops._protocol import Op

__all__ = ["Op", "evaluate", "evaluate_exact", "execute", "execute_all", "known_ops"]
