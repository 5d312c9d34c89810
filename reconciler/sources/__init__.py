"""The repository as git has it: `GitMirror` is the Source that bootstrap hands to the core."""

from __future__ import annotations

from reconciler.sources.git import GitMirror

__all__ = ["GitMirror"]
