"""Adapters to forges, by the `kind` that the configuration names; bootstrap picks one here."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.forges import webhooks
from reconciler.forges.github import GitHub

FORGES: Mapping[str, type[GitHub]] = {"github": GitHub}

__all__ = ["FORGES", "GitHub", "webhooks"]
