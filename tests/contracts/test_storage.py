"""What control and apply may count on from Ledger, Deployments, States and Leases, whatever stores them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.deployment import FINAL, DeploymentState
from reconciler.model.errors import NotFound, Retryable, Terminal
from reconciler.model.ledger_entry import GENESIS
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import Deployments, EnvironmentRecord, Leases, Ledger, States, TrustRecord, TrustReset
from reconciler.storage import open_database
from reconciler.storage.deployments import SqlDeployments
from reconciler.storage.ledger import SqlLedger
from reconciler.storage.states import SqlLeases, SqlStates
from tests.unit.storage.records import NOON, SEAL, TARGET, a_deployment, a_result

SHOP = EnvironmentName("shop", "production")
OTHER_TARGET = Target("shop", "production", "web-2")
UNKNOWN = EnvironmentRecord(SHOP, None, None, None, "", None, "Unknown", "Unknown", {}, NOON)
TRUST = TrustRecord(1, "a" * 40, (("operator", 1234, ("ssh-ed25519 AAAA",)),), NOON)
RESET = TrustRecord(
    1, "b" * 40, TRUST.roots, NOON + timedelta(hours=1), ("ssh-ed25519 OLD",),
    TrustReset(("operator",), "the group was left by everybody", "{}", ("signed",)),
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """One store behind the four ports."""

    ledger: Ledger
    deployments: Deployments
    states: States
    leases: Leases


@pytest.fixture(params=["sqlite"])
def store(tmp_path: Path) -> Iterator[Store]:
    database = open_database(f"sqlite:///{tmp_path}/reconciler.db", SEAL)
    yield Store(SqlLedger(database), SqlDeployments(database), SqlStates(database), SqlLeases(database))
    database.close()


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return store.ledger


@pytest.fixture
def deployments(store: Store) -> Deployments:
    return store.deployments


@pytest.fixture
def states(store: Store) -> States:
    return store.states


@pytest.fixture
def leases(store: Store) -> Leases:
    return store.leases


# -- ledger ---------------------------------------------------------------------------------------------------------


def test_entries_count_from_one_and_each_names_the_one_before(ledger: Ledger) -> None:
    one, two = (ledger.append("plan", "shop/production", {"n": n}, NOON) for n in range(2))
    assert (one.sequence, one.previous) == (1, GENESIS)
    assert (two.sequence, two.previous) == (2, one.hash)
    assert list(ledger.entries()) == [one, two]


def test_entries_after_a_number_are_the_later_ones(ledger: Ledger) -> None:
    entries = [ledger.append("plan", "shop/production", {}, NOON) for _ in range(4)]
    assert list(ledger.entries(after=2)) == entries[2:]
    assert list(ledger.entries(after=4)) == []


def test_entries_are_found_by_kind_and_subject(ledger: Ledger) -> None:
    ledger.append("gate", "7", {}, NOON)
    first = ledger.append("plan", "7", {}, NOON)
    ledger.append("plan", "8", {}, NOON)
    second = ledger.append("plan", "7", {"again": True}, NOON)
    assert ledger.find("plan", "7") == (first, second)
    assert ledger.latest("plan", "7") == second
    assert ledger.find("plan", "9") == ()
    assert ledger.latest("plan", "9") is None


# -- deployments ----------------------------------------------------------------------------------------------------


def test_a_deployment_begins_once_and_keeps_what_it_began_with(deployments: Deployments) -> None:
    assert deployments.begin(a_deployment(), {"plans": {"x": 1}, "before": None})
    assert not deployments.begin(a_deployment(reason="another"), {"plans": {}})
    assert deployments.get("d-1") == a_deployment()
    assert deployments.context("d-1") == {"plans": {"x": 1}, "before": None}


def test_a_finished_deployment_does_not_begin_again(deployments: Deployments) -> None:
    deployments.begin(a_deployment(), {})
    finished = a_deployment(outcome=DeploymentState.SUCCEEDED, finished_at=NOON)
    deployments.advance(finished)
    assert not deployments.begin(a_deployment(), {})
    assert deployments.get("d-1") == finished


def test_an_unknown_deployment_is_none_and_has_no_context(deployments: Deployments) -> None:
    assert deployments.get("d-9") is None
    with pytest.raises(NotFound, match="there is no deployment d-9"):
        deployments.context("d-9")


def test_an_unknown_deployment_does_not_advance(deployments: Deployments) -> None:
    with pytest.raises(Terminal, match="deployment d-1 is finished or unknown"):
        deployments.advance(a_deployment())
    assert deployments.get("d-1") is None


def test_a_deployment_advances_until_it_is_finished(deployments: Deployments) -> None:
    deployments.begin(a_deployment(), {})
    for state in (DeploymentState.OPERATING, DeploymentState.OPERATING, DeploymentState.FAILED):
        deployments.advance(a_deployment(outcome=state, reason=state.value))
        assert deployments.get("d-1") == a_deployment(outcome=state, reason=state.value)
    assert deployments.unfinished() == ()


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_finished_record_never_changes(deployments: Deployments, state: DeploymentState) -> None:
    deployments.begin(a_deployment(), {})
    deployments.advance(a_deployment(outcome=state))
    for later in (state, DeploymentState.QUEUED, DeploymentState.SUCCEEDED):
        with pytest.raises(Terminal, match="its record does not change"):
            deployments.advance(a_deployment(outcome=later, reason="changed"))
    assert deployments.get("d-1") == a_deployment(outcome=state)


def test_unfinished_deployments_are_listed_oldest_first(deployments: Deployments) -> None:
    for identity in ("d-c", "d-a", "d-b"):
        deployments.begin(a_deployment(identity, environment=identity), {})
    deployments.advance(a_deployment("d-a", environment="d-a", outcome=DeploymentState.CANCELLED))
    assert [d.id for d in deployments.unfinished()] == ["d-c", "d-b"]


def test_an_environment_has_one_deployment_under_way(deployments: Deployments) -> None:
    deployments.begin(a_deployment("d-1"), {})
    with pytest.raises(Retryable, match="deployment d-1 of shop/production is under way"):
        deployments.begin(a_deployment("d-2"), {})
    assert deployments.begin(a_deployment("d-2", environment="staging"), {}), "its neighbour goes on"
    deployments.advance(a_deployment("d-1", outcome=DeploymentState.FAILED))
    assert deployments.begin(a_deployment("d-3"), {})


def test_deployments_of_a_revision_are_listed_oldest_first(deployments: Deployments) -> None:
    for identity, revision in (("d-b", "a" * 40), ("d-c", "b" * 40), ("d-a", "a" * 40)):
        deployments.begin(a_deployment(identity, environment=identity, revision=revision), {})
    assert [d.id for d in deployments.of_revision("a" * 40)] == ["d-b", "d-a"]
    assert deployments.of_revision("c" * 40) == ()


def test_deployments_of_an_environment_are_listed_newest_first(deployments: Deployments) -> None:
    places = [("d-b", "shop", "production"), ("d-a", "shop", "staging"), ("d-c", "shop", "production")]
    for identity, project, environment in places:
        placed = a_deployment(identity, project=project, environment=environment)
        deployments.begin(placed, {})
        deployments.advance(replace(placed, outcome=DeploymentState.SUCCEEDED))
    assert [d.id for d in deployments.of_environment(SHOP)] == ["d-c", "d-b"]
    assert [d.id for d in deployments.of_environment(SHOP, limit=1)] == ["d-c"]
    assert [d.id for d in deployments.of_environment(None)] == ["d-c", "d-a", "d-b"]
    assert deployments.of_environment(EnvironmentName("shop", "nowhere")) == ()


def test_what_reverts_a_deployment_counts_once_it_has_succeeded(deployments: Deployments) -> None:
    undone = a_deployment("d-1", outcome=DeploymentState.SUCCEEDED)
    deployments.begin(a_deployment("d-1"), {})
    deployments.advance(undone)
    revert = a_deployment("d-2", reverts="d-1")
    deployments.begin(revert, {})
    assert deployments.reverted_by("d-1") is None
    deployments.advance(replace(revert, outcome=DeploymentState.FAILED))
    assert deployments.reverted_by("d-1") is None
    for identity in ("d-4", "d-3"):
        deployments.begin(replace(revert, id=identity), {})
        deployments.advance(replace(revert, id=identity, outcome=DeploymentState.SUCCEEDED))
    assert deployments.reverted_by("d-1") == "d-3"
    assert deployments.reverted_by("d-3") is None
    assert deployments.get("d-1") == undone


# -- journal --------------------------------------------------------------------------------------------------------


def test_the_journal_has_outcomes_by_index(deployments: Deployments) -> None:
    for index in (2, 0, 1):
        deployments.journal_intent("d-1", TARGET, index, "RecreateService", NOON)
    for index in (2, 0):
        deployments.journal_outcome("d-1", TARGET, a_result(index))
    assert deployments.journal("d-1", TARGET) == (a_result(0), a_result(2))


def test_an_intent_alone_shows_that_and_when_it_was_begun(deployments: Deployments) -> None:
    assert deployments.begun("d-1", TARGET) == {}
    deployments.journal_intent("d-1", TARGET, 3, "PullImage", NOON)
    deployments.journal_intent("d-1", TARGET, 3, "PullImage", NOON + timedelta(hours=1))
    assert deployments.begun("d-1", TARGET) == {3: NOON}
    assert deployments.journal("d-1", TARGET) == ()


def test_what_has_an_outcome_was_begun_as_well(deployments: Deployments) -> None:
    for index in (1, 0):
        deployments.journal_intent("d-1", TARGET, index, "PullImage", NOON + timedelta(minutes=index))
    deployments.journal_outcome("d-1", TARGET, a_result(1))
    assert deployments.begun("d-1", TARGET) == {0: NOON, 1: NOON + timedelta(minutes=1)}


def test_the_journal_is_of_one_deployment_on_one_target(deployments: Deployments) -> None:
    deployments.journal_intent("d-1", TARGET, 0, "PullImage", NOON)
    deployments.journal_outcome("d-1", TARGET, a_result())
    for deployment, target in (("d-2", TARGET), ("d-1", OTHER_TARGET)):
        assert deployments.begun(deployment, target) == {}
        assert deployments.journal(deployment, target) == ()


def test_an_intent_that_is_noted_again_keeps_its_outcome(deployments: Deployments) -> None:
    deployments.journal_intent("d-1", TARGET, 0, "PullImage", NOON)
    deployments.journal_outcome("d-1", TARGET, a_result())
    deployments.journal_intent("d-1", TARGET, 0, "PullImage", NOON + timedelta(hours=1))
    assert deployments.journal("d-1", TARGET) == (a_result(),)


def test_an_outcome_without_an_intent_is_refused(deployments: Deployments) -> None:
    with pytest.raises(Terminal, match="deployment d-1: operation 3 on shop/production@web-1 was never begun"):
        deployments.journal_outcome("d-1", TARGET, a_result(3))
    assert deployments.journal("d-1", TARGET) == ()


# -- states ---------------------------------------------------------------------------------------------------------


def test_trust_is_pinned_once(states: States) -> None:
    assert states.trust() is None
    states.set_trust(TRUST)
    with pytest.raises(Terminal, match="trust is pinned already"):
        states.set_trust(replace(TRUST, repository=2))
    assert states.trust() == TRUST
    assert states.trust_history() == (TRUST,)


def test_a_reset_holds_and_what_was_trusted_before_stays_on_record(states: States) -> None:
    states.set_trust(TRUST)
    states.reset_trust(TRUST, RESET, lambda record: record)
    assert states.trust() == RESET
    assert states.trust_history() == (TRUST, RESET)


def test_a_reset_replaces_only_what_it_names(states: States) -> None:
    with pytest.raises(Terminal, match="another trust is pinned by now"):
        states.reset_trust(TRUST, RESET, lambda record: record)
    states.set_trust(TRUST)
    states.reset_trust(TRUST, RESET, lambda record: record)
    for former in (TRUST, replace(TRUST, repository=2)):
        with pytest.raises(Terminal, match="another trust is pinned by now"):
            states.reset_trust(former, replace(RESET, revision="c" * 40), lambda record: record)
    assert states.trust_history() == (TRUST, RESET)


def test_a_reset_marks_every_environment_or_does_not_happen(states: States) -> None:
    names = (SHOP, EnvironmentName("shop", "staging"))
    for name in names:
        states.change_environment(name, lambda _, name=name: replace(UNKNOWN, name=name))  # type: ignore[misc]
    states.set_trust(TRUST)

    def fails_at_staging(record: EnvironmentRecord) -> EnvironmentRecord:
        if record.name == names[1]:
            raise RuntimeError("cut off")
        return replace(record, detail={"marked": True})

    with pytest.raises(RuntimeError, match="cut off"):
        states.reset_trust(TRUST, RESET, fails_at_staging)
    assert states.trust_history() == (TRUST,)
    assert [record.detail for record in states.environments()] == [{}, {}]
    states.reset_trust(TRUST, RESET, lambda record: replace(record, detail={"marked": True}))
    assert [record.detail for record in states.environments()] == [{"marked": True}] * 2


def test_an_environment_is_unknown_until_it_is_written_and_then_the_last_word_counts(states: States) -> None:
    assert states.environment(SHOP) is None
    known = replace(UNKNOWN, verified="a" * 40, hold="Parked", hold_reason="failed", hold_commit="b" * 40)
    before: list[EnvironmentRecord | None] = []

    for record in (UNKNOWN, known, UNKNOWN):

        def change(now: EnvironmentRecord | None, record: EnvironmentRecord = record) -> EnvironmentRecord:
            before.append(now)
            return record

        assert states.change_environment(SHOP, change) == record
        assert states.environment(SHOP) == record
    assert before == [None, UNKNOWN, known]


def test_a_change_that_fails_changes_nothing(states: States) -> None:
    states.change_environment(SHOP, lambda _: UNKNOWN)
    with pytest.raises(ZeroDivisionError):
        states.change_environment(SHOP, lambda now: 1 // 0 or now or UNKNOWN)
    assert states.environment(SHOP) == UNKNOWN


def test_changes_of_an_environment_side_by_side_are_all_there_afterwards(states: States) -> None:
    def count(key: str) -> None:
        for _ in range(20):
            states.change_environment(
                SHOP,
                lambda now: replace(now or UNKNOWN, detail={**(now or UNKNOWN).detail, key: _of(now, key) + 1}),
            )

    with ThreadPoolExecutor(max_workers=3) as pool:
        list(pool.map(count, ("a", "b", "c")))
    record = states.environment(SHOP)
    assert record is not None
    assert {key: record.detail[key] for key in ("a", "b", "c")} == {"a": 20, "b": 20, "c": 20}


def _of(record: EnvironmentRecord | None, key: str) -> int:
    return int(record.detail.get(key, 0)) if record is not None else 0


def test_nothing_and_empty_are_two_things(states: States) -> None:
    empty = replace(UNKNOWN, verified="", hold="", hold_commit="", deployment="", detail={"inputs": None, "drift": ""})
    states.change_environment(SHOP, lambda _: empty)
    assert states.environment(SHOP) == empty != UNKNOWN


def test_environments_are_sorted_by_name_and_do_not_touch_each_other(states: States) -> None:
    names = [EnvironmentName("shop", "staging"), EnvironmentName("blog", "production"), SHOP]
    for name in names:
        states.change_environment(name, lambda _, name=name: replace(UNKNOWN, name=name, hold_reason=str(name)))  # type: ignore[misc]
    found = states.environments()
    assert [record.name for record in found] == sorted(names)
    assert all(record.hold_reason == str(record.name) for record in found)


def test_a_delivery_is_seen_the_second_time(states: States) -> None:
    assert not states.delivery_seen("one", NOON)
    assert states.delivery_seen("one", NOON)
    assert not states.delivery_seen("two", NOON)


def test_a_delivery_is_remembered_for_a_week(states: States) -> None:
    states.delivery_seen("one", NOON)
    states.delivery_seen("other", NOON + timedelta(days=7))
    assert states.delivery_seen("one", NOON + timedelta(days=7))
    states.delivery_seen("third", NOON + timedelta(days=7, seconds=1))
    assert not states.delivery_seen("one", NOON + timedelta(days=7, seconds=2))


# -- leases ---------------------------------------------------------------------------------------------------------


def later(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_a_lease_is_given_to_one_and_refused_to_all_until_it_runs_out(leases: Leases) -> None:
    assert leases.acquire("target", "one", 10, NOON) == 1
    assert leases.acquire("target", "two", 10, NOON + later(9.9)) is None
    assert leases.acquire("target", "one", 10, NOON + later(9.9)) is None
    assert leases.acquire("target", "two", 10, NOON + later(10)) == 2


def test_leases_of_two_keys_do_not_touch_each_other(leases: Leases) -> None:
    assert leases.acquire("target", "one", 10, NOON) == 1
    assert leases.acquire("other", "two", 10, NOON) == 1


def test_a_renewed_lease_runs_from_the_renewal(leases: Leases) -> None:
    leases.acquire("target", "one", 10, NOON)
    assert leases.renew("target", "one", 1, 10, NOON + later(8))
    assert leases.acquire("target", "two", 10, NOON + later(17)) is None
    assert leases.acquire("target", "two", 10, NOON + later(18)) == 2


def test_a_released_lease_is_free_at_once_and_the_next_generation_is_higher(leases: Leases) -> None:
    leases.acquire("target", "one", 10, NOON)
    leases.release("target", "one", 1)
    assert leases.acquire("target", "two", 10, NOON) == 2


def test_who_lost_a_lease_can_neither_renew_nor_release_it(leases: Leases) -> None:
    leases.acquire("target", "one", 10, NOON)
    leases.acquire("target", "two", 10, NOON + later(10))
    assert not leases.renew("target", "one", 1, 10, NOON + later(11))
    leases.release("target", "one", 1)
    assert leases.acquire("target", "three", 10, NOON + later(11)) is None
    assert leases.renew("target", "two", 2, 10, NOON + later(11))


@pytest.mark.parametrize(("owner", "generation"), [("two", 1), ("one", 2), ("one", 0)])
def test_only_the_holder_of_this_generation_renews(leases: Leases, owner: str, generation: int) -> None:
    leases.acquire("target", "one", 10, NOON)
    assert not leases.renew("target", owner, generation, 10, NOON)
    leases.release("target", owner, generation)
    assert leases.acquire("target", "three", 10, NOON) is None


def test_a_lease_that_has_run_out_is_still_held_while_nobody_took_it(leases: Leases) -> None:
    """A generation that did not change shows that nobody worked on the key meanwhile."""
    leases.acquire("target", "one", 10, NOON)
    assert leases.renew("target", "one", 1, 10, NOON + later(60))
    assert leases.acquire("target", "two", 10, NOON + later(69)) is None


def test_a_released_lease_is_not_renewed(leases: Leases) -> None:
    leases.acquire("target", "one", 10, NOON)
    leases.release("target", "one", 1)
    assert not leases.renew("target", "one", 1, 10, NOON)
    assert leases.acquire("target", "two", 10, NOON) == 2


def test_threads_of_one_process_race_for_a_lease_and_one_wins(leases: Leases) -> None:
    won: list[int | None] = []
    gate = threading.Barrier(6)

    def race(owner: str) -> None:
        gate.wait()
        won.append(leases.acquire("target", owner, 10, NOON))

    threads = [threading.Thread(target=race, args=(f"thread {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won, key=str) == [1, None, None, None, None, None]
