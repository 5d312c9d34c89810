"""Whether a change was approved: `decide`, and what its evidence is made of."""

from reconciler.approvals.gate import decide
from reconciler.approvals.provenance import (
    DeployBranch,
    PullRequestLanding,
    UnapprovedCommits,
    between_ends,
    candidates,
    classify,
    deployable,
    direct_push,
    rewound,
)
from reconciler.approvals.restoring import goes_back, unapproved_image
from reconciler.approvals.rules import RuleChanges, rule_changes, stricter, strictest_consent

__all__ = [
    "DeployBranch",
    "PullRequestLanding",
    "RuleChanges",
    "UnapprovedCommits",
    "between_ends",
    "candidates",
    "classify",
    "decide",
    "deployable",
    "direct_push",
    "goes_back",
    "rewound",
    "rule_changes",
    "stricter",
    "strictest_consent",
    "unapproved_image",
]
