"""Any writer of a forge may edit what others wrote: the engine's plan, a person's comment. On simulated hosts, with
real git and the embedded forge.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.conftest import StageMaker
from tests.scenarios.stage import SPARE, Stage, greet

FORGED = "### Plan\n\nnothing changes\n"


def both(clone: Path) -> None:
    for environment in ("production", "spare"):
        greet("forged", environment)(clone)


def forge(stage: Stage, number: int, comment: int) -> None:
    shown = [c for c in stage.author.comments(number) if c["user"]["login"] == "reconciler"]
    stage.author.api("PATCH", f"/issues/comments/{shown[comment]['id']}", body=FORGED)


def test_a_plan_that_was_written_over_after_the_merge_is_shown_again_for_each_environment(
    make_simulated: StageMaker,
) -> None:
    """The first one that looks shows its own plan again; the plan of the other still stands in the forged comment."""
    stage = make_simulated()
    number = stage.deployer.propose("agent/one", "One", both)["number"]
    stage.run()
    stage.operator.merge(number)
    forge(stage, number, 0)
    stage.run()
    shown = [c["body"] for c in stage.author.comments(number)]
    assert sum("app/production@web-1" in body for body in shown) == 1
    assert sum("app/spare@web-2" in body for body in shown) == 1, shown
    # Now the one that was shown again for the first environment is written over, which is not the last comment.
    forge(stage, number, 1)
    stage.approve(number)
    stage.run()
    assert (stage.greeting(), stage.greeting(SPARE)) == ("first", "spare")
    stage.approve(number)
    stage.run()
    assert (stage.greeting(), stage.greeting(SPARE)) == ("forged", "forged")


def test_a_comment_that_was_edited_in_the_second_in_which_it_was_written_approves_nothing(
    make_simulated: StageMaker,
) -> None:
    stage = make_simulated(**{"projects/app/spare/environment.yaml": None})
    number = stage.author.propose("author/one", "One", greet("forged"))["number"]
    stage.run()
    command = f"/reconciler approve {stage.plan_digest(number)[:12]}"
    stage.later()
    for _ in range(5):
        said = stage.reviewer.comment(number, "I have not looked at this yet")
        edited = stage.author.api("PATCH", f"/issues/comments/{said['id']}", body=command)
        if edited["updated_at"] == edited["created_at"]:
            break
    else:
        pytest.fail("the second was over each time")
    stage.author.merge(number)
    stage.run()
    assert stage.greeting() == "first"
