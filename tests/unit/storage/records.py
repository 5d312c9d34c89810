"""Records with defaults, and strategies that fill every field of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from reconciler.model.approval import Approval
from reconciler.model.deployment import (
    Authority,
    Deployment,
    DeploymentKind,
    DeploymentState,
    OperationResult,
    TargetResult,
)
from reconciler.model.health import Health, ServiceHealth
from reconciler.model.target import EnvironmentName, Target
from reconciler.ports import EnvironmentRecord, TrustRecord
from reconciler.storage.sealing import Seal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEAL = Seal(b"the key of an installation of the tests")
TARGET = Target("shop", "production", "web-1")


def a_deployment(identity: str = "d-1", **changes: Any) -> Deployment:
    """Queued, for shop/production; `changes` replace fields."""
    queued = Deployment(
        id=identity,
        kind=DeploymentKind.CHANGE,
        project="shop",
        environment="production",
        hosts=("web-1",),
        revision="a" * 40,
        plan_digest="b" * 64,
        authority=Authority("approval", 7, "deployer", (), "operator", ""),
        started_at=NOON,
        finished_at=None,
        outcome=DeploymentState.QUEUED,
        reason="",
        targets=(),
    )
    return replace(queued, **changes)


def a_result(index: int = 0, **changes: Any) -> OperationResult:
    result = OperationResult(index, "RecreateService", "web", "image changed in git", "done", "", NOON, NOON)
    return replace(result, **changes)


texts = st.text(st.characters(codec="utf-8"), max_size=20)  # SQLite's text is UTF-8: no half characters
maybe_texts = st.none() | texts
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(-(2**63), 2**63 - 1)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
targets = st.builds(Target, texts, texts, texts)
results = st.builds(
    OperationResult, st.integers(0, 10**6), texts, texts, texts, texts, texts, started_at=moments, finished_at=moments
)


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


deployments = st.builds(
    Deployment,
    id=texts,
    kind=st.sampled_from(DeploymentKind),
    project=texts,
    environment=texts,
    hosts=several(texts),
    revision=texts,
    plan_digest=texts,
    authority=st.builds(
        Authority,
        texts,
        st.none() | numbers,
        texts,
        several(
            st.builds(
                Approval,
                person=texts,
                account=numbers,
                review=numbers,
                head_sha=texts,
                submitted_at=moments,
                groups=several(texts),
            )
        ),
        texts,
        texts,
    ),
    started_at=moments,
    finished_at=st.none() | moments,
    outcome=st.sampled_from([state for state in DeploymentState if not state.final]),
    reason=texts,
    targets=several(
        st.builds(
            TargetResult,
            targets,
            texts,
            texts,
            several(results),
            st.sampled_from(Health),
            several(st.builds(ServiceHealth, texts, st.sampled_from(Health), texts)),
            several(st.tuples(texts, texts)),
        )
    ),
    reverts=maybe_texts,
)
environment_records = st.builds(
    EnvironmentRecord,
    name=st.builds(EnvironmentName, texts, texts),
    verified=maybe_texts,
    deployment=maybe_texts,
    hold=maybe_texts,
    hold_reason=texts,
    hold_commit=maybe_texts,
    sync=texts,
    health=texts,
    detail=st.dictionaries(texts, documents, max_size=3),
    updated_at=moments,
)
trust_records = st.builds(
    TrustRecord,
    repository=numbers,
    revision=texts,
    roots=several(st.tuples(texts, numbers, several(texts))),
    created_at=moments,
)
