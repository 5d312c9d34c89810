"""What a person signs where consent is signed, and how it is found again in a comment."""

from __future__ import annotations

import pytest

from reconciler.approvals.statement import signature_in, statement
from reconciler.model.target import Target

ARMOR = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ+/Zz09\n-----END SSH SIGNATURE-----"


def test_a_statement_is_exactly_these_bytes_in_whichever_order_the_plans_come() -> None:
    plans = [(Target.parse("shop/production@web-2"), "b" * 64), (Target.parse("shop/production@web-1"), "a" * 64)]
    assert statement(7, 12, "c" * 40, "main", plans).decode() == (
        f"reconciler approval\nrepository 7\npull request 12\nhead {'c' * 40}\nbase main\n"
        f"plan shop/production@web-1 {'a' * 64}\nplan shop/production@web-2 {'b' * 64}\n"
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"/reconciler approve\n\n```\n{ARMOR}\n```\n", f"{ARMOR}\n"),
        (f"/reconciler approve\n\n{ARMOR}".replace("\n", "\r\n"), f"{ARMOR}\n"),
        (ARMOR.lower(), None),
        (ARMOR.replace("U1N", "<b>"), None),
        ("/reconciler approve", None),
    ],
)
def test_a_signature_is_found_as_it_was_armored(body: str, found: str | None) -> None:
    assert signature_in(body) == found
