"""What the simulated engine refuses, with the HTTP status and the message that a real engine gives for it."""

from __future__ import annotations


class EngineRefusal(Exception):
    """Raised by the engine's operations; the HTTP interface turns it into `{"message": …}` with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
