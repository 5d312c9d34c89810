"""What the policy says of a change: `evaluate` a `PolicyRequest` into a Verdict."""

from reconciler.policy.evaluation import evaluate
from reconciler.policy.request import PolicyRequest, TargetFacts

__all__ = ["PolicyRequest", "TargetFacts", "evaluate"]
