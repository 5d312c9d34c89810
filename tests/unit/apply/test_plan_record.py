"""A plan as JSON and back: what a restart carries out is what was approved, to the last field."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.apply.plan_record import decode_plan, encode_plan
from reconciler.model.change import Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.desired import Bundle, DesiredNetwork, DesiredVolume, ShippedFile
from reconciler.model.errors import Terminal
from reconciler.model.location import Location
from reconciler.model.plan import (
    CreateDirectory,
    CreateNetwork,
    CreateService,
    CreateVolume,
    Obstacle,
    Operation,
    Plan,
    PullImage,
    RecreateNetwork,
    RecreateService,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RunJob,
    ScaleService,
    ShipFiles,
    StartService,
)
from tests.builders import deployed
from tests.unit.apply.surroundings import plan_of, wanted
from tests.unit.apply.test_execution import AFTER, BEFORE
from tests.unit.storage.records import documents, several, targets, texts

counts = st.integers(0, 10**6)
pairs = several(st.tuples(texts, texts))
locations = st.builds(Location, texts, st.none() | counts)
networks = st.builds(
    DesiredNetwork,
    key=texts,
    name=texts,
    external=st.booleans(),
    driver=texts,
    driver_options=pairs,
    internal=st.booleans(),
    attachable=st.booleans(),
    ipv6=st.booleans(),
    subnets=pairs,
    labels=pairs,
    location=locations,
)
volumes = st.builds(
    DesiredVolume,
    key=texts,
    name=texts,
    external=st.booleans(),
    driver=texts,
    driver_options=pairs,
    labels=pairs,
    location=locations,
)
bundles = st.builds(
    Bundle, texts, texts, st.booleans(), several(st.builds(ShippedFile, texts, texts, st.booleans(), counts))
)
OPERATIONS: dict[type[Any], st.SearchStrategy[Any]] = {
    ShipFiles: st.builds(ShipFiles, bundles, texts),
    PullImage: st.builds(PullImage, texts, texts, texts),
    CreateDirectory: st.builds(CreateDirectory, texts, texts),
    CreateNetwork: st.builds(CreateNetwork, networks, texts),
    RecreateNetwork: st.builds(RecreateNetwork, networks, several(texts), texts),
    RemoveNetwork: st.builds(RemoveNetwork, texts, texts),
    CreateVolume: st.builds(CreateVolume, volumes, texts),
    RemoveVolume: st.builds(RemoveVolume, texts, texts),
    CreateService: st.builds(CreateService, texts, counts, texts),
    RecreateService: st.builds(RecreateService, texts, counts, texts),
    StartService: st.builds(StartService, texts, counts, several(texts), texts),
    ScaleService: st.builds(ScaleService, texts, counts, texts),
    RunJob: st.builds(RunJob, texts, texts),
    RemoveContainer: st.builds(RemoveContainer, texts, texts),
}
values = st.builds(Value, documents, texts)
changes = st.builds(
    Change,
    kind=st.sampled_from(ChangeKind),
    subject=st.builds(Subject, st.sampled_from(SubjectKind), texts),
    field=texts,
    before=values,
    after=values,
    why=texts,
    cause=st.none() | locations,
    found_by=texts,
    destroys=st.booleans(),
)
plans = st.builds(
    Plan,
    target=targets,
    engine_id=texts,
    changes=several(changes),
    operations=several(st.one_of(*OPERATIONS.values())),
    stages=several(several(counts)),
    images=pairs,
    files=pairs,
    obstacles=several(st.builds(Obstacle, texts, texts)),
    digest=texts,
    definitions=pairs,
)


def stored(plan: Plan) -> Plan:
    """As the database gives it back: through text."""
    return decode_plan(json.loads(json.dumps(encode_plan(plan), sort_keys=True)))


@settings(max_examples=150, deadline=None)
@given(plan=plans)
def test_every_field_of_a_plan_comes_back(plan: Plan) -> None:
    assert stored(plan) == plan


def test_every_kind_of_operation_is_tried_here() -> None:
    assert set(OPERATIONS) == set(get_args(Operation))


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_an_operation_comes_back_as_its_own_kind(kind: type[Any]) -> None:
    """Several kinds have the same fields: a removed network must not come back as a removed volume."""

    @settings(max_examples=15, deadline=None)
    @given(plan=plans, operation=OPERATIONS[kind])
    def comes_back(plan: Plan, operation: Operation) -> None:
        (back,) = stored(replace(plan, operations=(operation,))).operations
        assert type(back) is kind
        assert back == operation

    comes_back()


def test_a_real_plan_comes_back_with_its_digest() -> None:
    plan = plan_of(wanted(AFTER), deployed(wanted(BEFORE)))
    back = stored(plan)
    assert (back.digest, back.operations, back.stages, back.definitions) == (
        plan.digest,
        plan.operations,
        plan.stages,
        plan.definitions,
    )
    assert encode_plan(back) == encode_plan(plan)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("target"),
        lambda record: record.update(stages="all"),
        lambda record: record["operations"][0]["fields"].pop("why"),
        lambda record: record["operations"][0].update(kind="RemoveEverything"),
        lambda record: record["operations"][0].pop("kind"),
        lambda record: record.pop("operations"),
        lambda record: record.update(operations=[[]]),
    ],
    ids=["no target", "no stages", "no why", "an unknown kind", "no kind", "no operations", "not operations"],
)
def test_a_record_that_is_no_plan_is_refused_and_not_guessed_at(damage: Any) -> None:
    record = encode_plan(plan_of(wanted(AFTER), deployed(wanted(BEFORE))))
    damage(record)
    with pytest.raises(Terminal, match="the stored plan of a deployment cannot be read"):
        decode_plan(record)
