"""The scope that each command needs; the faces ask here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capability:
    """A command, the scope it needs, and whether anything changes by it."""

    command: str
    scope: str
    changes: bool


CAPABILITIES = (
    Capability("status", "status:read", False),
    Capability("why", "status:read", False),
    Capability("plan", "plan:read", False),
    Capability("drift", "plan:read", False),
    Capability("deployments list", "status:read", False),
    Capability("deployments show", "status:read", False),
    Capability("approvals list", "status:read", False),
    Capability("approvals show", "plan:read", False),
    Capability("approvals approve", "change:approve", True),
    Capability("approvals reject", "change:approve", True),
    Capability("approvals adopt", "change:propose", True),
    Capability("prove", "ledger:read", False),
    Capability("ledger show", "ledger:read", False),
    Capability("ledger verify", "ledger:read", False),
    Capability("ledger checkpoint", "server:run", True),
    Capability("ledger restored", "server:run", True),
    Capability("ledger export", "ledger:read", False),
    Capability("hosts list", "status:read", False),
    Capability("hosts check", "status:read", False),
    Capability("rollback", "rollback:propose", True),
    Capability("break-glass", "glass:break", True),
    Capability("suspend", "environment:suspend", True),
    Capability("resume", "environment:suspend", True),
    Capability("trust show", "status:read", False),
    Capability("trust init", "trust:write", True),
    Capability("trust reset", "trust:write", True),
    Capability("reconcile", "server:run", True),
    Capability("serve", "server:run", True),
)
