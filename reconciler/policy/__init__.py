"""What the policy says of a change: `evaluate` a `PolicyRequest` into a Verdict."""

from reconciler.policy.contents.mounts import absolute_binds
from reconciler.policy.evaluation import evaluate
from reconciler.policy.removal import running
from reconciler.policy.request import PolicyRequest, Removal, Surroundings, TargetFacts
from reconciler.policy.unseen import unseen
from reconciler.policy.waiving import Waivers

__all__ = [
    "PolicyRequest",
    "Removal",
    "Surroundings",
    "TargetFacts",
    "Waivers",
    "absolute_binds",
    "evaluate",
    "running",
    "unseen",
]
