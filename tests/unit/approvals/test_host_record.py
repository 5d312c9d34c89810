"""What a record on a host is taken for, beside what the database says: the cases of 39, 43, 66, 67 and 68 have what is
refused; here is what is believed, in full.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.approvals import host_record as records
from reconciler.approvals.host_record import Agrees, Believe, Meaning, Order, Refuse, SignedBy, Standing
from reconciler.model.approval import Reason
from tests.gate.hosts import ENGINE, REPOSITORY, TARGET, record_of

EXPECTED = records.Expected(TARGET, REPOSITORY, ENGINE)
AT = f"{'a' * 12}…"

NEWER = f"the host's record says that {AT} is verified, which is newer than the database"
OLDER = (
    f"the host's record says that {AT} is verified, which is older than the database: the host was restored from a "
    "backup, or the database was changed"
)
APART = f"the host has {AT} verified, and what the database has does not come after it"


@pytest.mark.parametrize(
    ("verified", "same_inputs", "meaning"),
    [
        (
            None,
            False,
            lambda: Believe(None, f"the host's record says that {AT} is verified, and the database knows nothing"),
        ),
        (Order.SAME, False, lambda: Agrees()),
        (Order.AFTER, False, lambda: Believe(Reason(39, NEWER), NEWER)),
        (Order.AFTER, True, lambda: Believe(Reason(39, NEWER), NEWER)),
        (Order.BEFORE, True, lambda: Agrees()),
        (Order.BEFORE, False, lambda: Believe(Reason(68, OLDER), OLDER)),
        (Order.APART, True, lambda: Refuse((Reason(39, APART),))),
    ],
)
def test_what_the_record_says_is_weighed_against_the_database(
    verified: Order | None, same_inputs: bool, meaning: Callable[[], Meaning]
) -> None:
    standing = Standing(on_branch=True, trusted=Order.AFTER, verified=verified, same_inputs=same_inputs)
    assert records.meaning(record_of({}), EXPECTED, standing) == meaning()


@pytest.mark.parametrize("trusted", [Order.SAME, Order.BEFORE])
def test_what_a_former_installation_left_is_replaced_by_what_root_persons_pinned(trusted: Order) -> None:
    standing = Standing(on_branch=True, trusted=trusted, verified=None, same_inputs=False)
    assert records.meaning(record_of({"signed_by": "former"}), EXPECTED, standing) == Agrees()


def test_without_a_record_or_without_a_place_for_it_there_is_nothing_to_learn() -> None:
    standing = Standing(on_branch=False, trusted=Order.APART, verified=None, same_inputs=False)
    assert records.meaning(None, EXPECTED, standing) == Agrees()
    assert records.meaning(record_of({}), EXPECTED, None) == Agrees()
    unreadable = records.Found(SignedBy.US, None, "")
    assert records.meaning(unreadable, EXPECTED, None) == Refuse(
        (Reason(68, "the host's record of it cannot be read"),)
    )
