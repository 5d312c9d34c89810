"""What the policy says of a change: `evaluate` a `PolicyRequest` into a Verdict."""

from reconciler.policy.evaluation import evaluate
from reconciler.policy.removal import running
from reconciler.policy.request import PolicyRequest, Removal, Surroundings, TargetFacts
from reconciler.policy.unseen import unseen
from reconciler.policy.waiving import Waivers

__all__ = ["PolicyRequest", "Removal", "Surroundings", "TargetFacts", "Waivers", "evaluate", "running", "unseen"]
