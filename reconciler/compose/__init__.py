"""The official Compose, ours: renders models in a sandbox, and does one service operation at a time."""

from reconciler.compose.driving import ComposeProgram
from reconciler.compose.rendering import SandboxRenderer

__all__ = ["ComposeProgram", "SandboxRenderer"]
