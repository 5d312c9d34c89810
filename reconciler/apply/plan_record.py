"""A plan as JSON and back, so that a restart knows what was approved; called by control when it queues a deployment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from reconciler.model.errors import Terminal
from reconciler.model.plan import Operation, Plan

_KINDS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Operation)}
_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


def encode_plan(plan: Plan) -> dict[str, Any]:
    """A JSON value; each operation is stored beside its kind, because several kinds have the same fields."""
    record: dict[str, Any] = _PLAN.dump_python(plan, mode="json")
    record["operations"] = [
        {
            "kind": type(operation).__name__,
            "fields": _KINDS[type(operation).__name__].dump_python(operation, mode="json"),
        }
        for operation in plan.operations
    ]
    return record


def decode_plan(record: dict[str, Any]) -> Plan:
    """The plan that `encode_plan` stored. Terminal when the record is not one: nothing is guessed."""
    try:
        operations = tuple(_KINDS[stored["kind"]].validate_python(stored["fields"]) for stored in record["operations"])
        plan = _PLAN.validate_python({**record, "operations": ()})
    except (ValidationError, KeyError, TypeError) as error:
        raise Terminal(
            f"the stored plan of a deployment cannot be read: {error}",
            hint="another version wrote it, or it was changed; finish the deployment with the version that began it",
        ) from error
    return replace(plan, operations=operations)
