"""Whether a change was approved: `decide`, and what its evidence is made of."""

from reconciler.approvals.gate import decide
from reconciler.approvals.provenance import (
    DeployBranch,
    PullRequestLanding,
    UnapprovedCommits,
    candidates,
    classify,
    direct_push,
    rewound,
    unavailable,
)
from reconciler.approvals.restoring import goes_back, unapproved_image
from reconciler.approvals.rules import RuleChanges, rule_changes, stricter

__all__ = [
    "DeployBranch",
    "PullRequestLanding",
    "RuleChanges",
    "UnapprovedCommits",
    "candidates",
    "classify",
    "decide",
    "direct_push",
    "goes_back",
    "rewound",
    "rule_changes",
    "stricter",
    "unapproved_image",
    "unavailable",
]
