"""What survives has to be explained, and what is explained has to survive."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.survivors import Explained, explanations, outdated, unexplained

FILE = Path("reconciler/approvals/order.py")
CHANGED = [mutant for mutant in mutants_of(FILE) if mutant.mutation is not None]
WHY = "nobody can see it, for a reason that is said"


def later() -> Mutant:
    (found,) = [each for each in CHANGED if each.place.endswith("latest") and "> found.updated_at" in each.change()]
    return found


def test_a_mutant_is_the_file_with_one_change() -> None:
    assert later().change() == (
        "- if found is None or plan.updated_at >= found.updated_at:\n"
        "+ if found is None or plan.updated_at > found.updated_at:"
    )
    assert (later().place, later().module) == (f"{FILE} latest", "reconciler.approvals.order")
    assert len({each.source() for each in CHANGED}) == len(CHANGED)


@pytest.mark.parametrize(
    ("over", "explains"),
    [
        ({"change": f"\n{later().change()}\n"}, True),
        ({"like": r"updated_at > found"}, True),
        ({"place": "reconciler/*", "like": r"updated_at > found"}, True),
        ({"change": later().change(), "place": f"{FILE} before"}, False),
        ({"like": r"updated_at < found"}, False),
    ],
)
def test_an_explanation_is_for_its_own_change_at_its_own_place(over: dict[str, str], explains: bool) -> None:
    one = Explained(**{"place": f"{FILE} latest", "why": WHY, **over})
    assert unexplained([later()], [one]) == ([] if explains else [later()])
    assert outdated([later()], [one], [FILE], [FILE]) == ([] if explains else [one])


def test_an_explanation_is_outdated_only_where_all_that_it_is_about_was_tried() -> None:
    other = Path("reconciler/approvals/words.py")
    own = Explained(place=f"{FILE} latest", like="x", why=WHY)
    whole = Explained(place="reconciler/approvals/*", like="x", why=WHY)
    assert outdated([], [own, whole], [FILE], [FILE, other]) == [own]
    assert outdated([], [own, whole], [other], [FILE, other]) == []
    assert outdated([], [own, whole], [FILE, other], [FILE, other]) == [own, whole]


def test_every_explanation_is_in_the_form() -> None:
    assert explanations()


@pytest.mark.parametrize(
    "text", ['place = "*"\nwhy = "all of it, whatever it is"', 'place = "x"\nlike = "y"\nwhy = "so"', 'place = "x"']
)
def test_nothing_is_explained_without_a_change_and_a_reason(text: str, tmp_path: Path) -> None:
    (tmp_path / "survivors.toml").write_text(f"[[survivor]]\n{text}\n")
    with pytest.raises((ValueError, ValidationError)):
        explanations(tmp_path / "survivors.toml")
