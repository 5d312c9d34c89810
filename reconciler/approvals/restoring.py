"""What going back to an approved state may do without being asked again, and what is only called so. Called by control,
for rollbacks (54) and for heals (57).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconciler.approvals import numbers
from reconciler.model.approval import Reason


def goes_back(inputs: str | None, earlier: Collection[str | None]) -> bool:
    """Whether a change that claims to be a rollback is one: what the environment would be made of is, by digest, what
    it was made of before. A claim that trees do not prove is a change like any other (54).
    """
    return inputs is not None and inputs in earlier


def unapproved_image(
    target: str, images: Sequence[tuple[str, str]], moving: Collection[str | None], approved: Mapping[str, str]
) -> Reason | None:
    """An image that a heal would run and nobody approved (57): since then the tag has moved.

    `images` are reference and what it is deployed as now, `moving` the references that the heal would make containers
    of, `approved` what the newest approved deployment that used a reference made of it. Where none did, a container
    that has to run another image than now, or that is not there at all, proves nothing.
    """
    for reference in sorted(each for each in moving if each is not None and each not in dict(images)):
        return Reason(numbers.NOT_LAST_APPROVED, f"{target}: what {reference} is now is not known; propose it")
    for reference, deploy_as in images:
        known = approved.get(reference)
        if (not (known and deploy_as) and reference in moving) or known not in (None, deploy_as):
            was = f"{known} was approved" if known else "nothing on record was approved"
            return Reason(numbers.NOT_LAST_APPROVED, f"{target}: {reference} is {deploy_as} now, and {was}; propose it")
    return None
