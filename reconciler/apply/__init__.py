"""Doing exactly what was approved, on hosts: execution, its journal, verification, resumption."""

from reconciler.apply.execution import Execution, PreparedTarget, Waves, execute

__all__ = ["Execution", "PreparedTarget", "Waves", "execute"]
