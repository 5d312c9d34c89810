"""The tree of errors that cross package borders; each says what, where and what to do.

ReconcilerError
├── Retryable            the same call may succeed later (host down, forge down, lease taken)
│   ├── HostUnreachable
│   └── ForgeUnavailable
└── Terminal             the same call will fail again until somebody changes something
    ├── InvalidInput     a file, a flag or a request that cannot be read; carries every problem at once
    ├── NotAllowed       scope, policy or gate said no
    ├── NotFound
    ├── HostKeyMismatch
    ├── UntrustedHistory the branch moved backwards, or the repository is another one
    └── VerificationFailed
"""

from __future__ import annotations

from reconciler.model.location import Problem


class ReconcilerError(Exception):
    """A fault with a text for people and a hint what to do; `code` is what scripts match on, `gate` the number in the
    gate's list where it is a way around an approval.
    """

    code = "ERROR"

    def __init__(
        self, text: str, *, where: str | None = None, hint: str | None = None, gate: int | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.where = where
        self.hint = hint
        self.gate = gate

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        number = f" (gate {self.gate})" if self.gate is not None else ""
        return f"{where}{self.text}{hint}{number}"


class Retryable(ReconcilerError):
    """May succeed later without anybody doing anything."""

    code = "TRY_AGAIN"
    retry_after = 0.0  # seconds that the other side asks us to wait; the loop does


class HostUnreachable(Retryable):
    """No SSH connection, or the engine behind it does not answer."""

    code = "HOST_UNREACHABLE"


class ForgeUnavailable(Retryable):
    """The forge is down, slow, rate-limiting or answering with an error."""

    code = "FORGE_UNAVAILABLE"


class Terminal(ReconcilerError):
    """Fails again until somebody changes something."""

    code = "FAILED"


class InvalidInput(Terminal):
    """Something that a person wrote cannot be accepted; all its problems at once."""

    code = "INVALID"

    def __init__(
        self,
        text: str,
        problems: tuple[Problem, ...] = (),
        *,
        where: str | None = None,
        hint: str | None = None,
        gate: int | None = None,
    ) -> None:
        super().__init__(text, where=where, hint=hint, gate=gate)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {problem}" for problem in self.problems)])


class NotAllowed(Terminal):
    """A scope, a policy or the gate said no."""

    code = "NOT_ALLOWED"


class NotFound(Terminal):
    """What was named does not exist."""

    code = "NOT_FOUND"


class HostKeyMismatch(Terminal):
    """The host shows another key than the one pinned in the repository; nothing was sent to it."""

    code = "HOST_KEY_MISMATCH"


class NotUnderstood(Terminal):
    """An engine answered something that is not known here; `where` names the field."""

    code = "ENGINE_NOT_UNDERSTOOD"


class UntrustedHistory(Terminal):
    """The deploy branch moved backwards, or the repository is not the one that was pinned."""

    code = "UNTRUSTED_HISTORY"


class VerificationFailed(Terminal):
    """A ledger, a signature or a deployment does not verify."""

    code = "VERIFICATION_FAILED"
