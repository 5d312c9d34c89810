"""compare: what differs between git and a host, field by field. Called by control before a plan and after an apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.diff.causes import cause_of
from reconciler.diff.checks import ATTACHMENTS, CHECKS, Check
from reconciler.diff.containers import containers_of, image_text, is_temporary, name_of
from reconciler.diff.definition import definition_digest, plain, summary
from reconciler.diff.pair import CONFIG_HASH_LABEL, Difference, Pair, undo_dollars
from reconciler.diff.resources import directory_changes, network_changes, volume_changes
from reconciler.diff.run_state import state_difference
from reconciler.model.canonical import canonical
from reconciler.model.change import ABSENT, Change, ChangeKind, Subject, SubjectKind, Value
from reconciler.model.desired import DesiredService, DesiredTarget
from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.observed import ObservedContainer, ObservedState


def compare(
    desired: DesiredTarget,
    observed: ObservedState,
    known: Mapping[str, str],
    fingerprinter: Fingerprinter,
) -> tuple[Change, ...]:
    """Every difference, sorted; empty when the host is what git says.

    `known` maps fingerprints of values that are not secret to their clear text. Containers that we did not create are
    never part of a change. `fingerprinter` is the key that both sides were made with; a pair of sides made with
    another one would show every variable as changed, so that is refused (ValueError).
    """
    _check_keys(desired, observed, fingerprinter)
    changes = [
        *(change for service in desired.services for change in _service_changes(desired, service, observed, known)),
        *_left_over(desired, observed),
        *network_changes(desired, observed),
        *volume_changes(desired, observed),
        *directory_changes(desired, observed),
    ]
    return tuple(sorted(changes, key=_order))


def _order(change: Change) -> tuple[str, str, str, str, bytes]:
    sides = canonical(plain([change.before.digestable, change.after.digestable]))
    return (change.subject.kind, change.subject.name, change.field, change.kind, sides)


def _check_keys(desired: DesiredTarget, observed: ObservedState, fingerprinter: Fingerprinter) -> None:
    ours = f"hmac:{fingerprinter.key_id}:"
    sides = [value.fingerprint for service in desired.services for value in service.environment]
    sides += [value.fingerprint for container in observed.containers for value in container.environment]
    if any(not fingerprint.startswith(ours) for fingerprint in sides):
        raise ValueError(f"fingerprints were made with another key than {fingerprinter.key_id}; observe again")


def _service_changes(
    desired: DesiredTarget, service: DesiredService, observed: ObservedState, known: Mapping[str, str]
) -> Iterator[Change]:
    containers = containers_of(observed, service.name)
    subject = Subject(SubjectKind.SERVICE, service.name)
    if not containers:
        if service.replicas:
            yield _creation(service, subject)
        return
    pairs = [_pair(desired, service, container, observed, known) for container in containers]
    yield from _replica_change(desired, service, len(containers), subject)
    if not service.replicas:
        return
    found = [(pair, difference) for pair in pairs for check in _checks(pair) for difference in check(pair)]
    if found:
        yield from _merged(found, subject, ChangeKind.UPDATE, "fields")
        return
    redefined = [(pair, _hash_difference(pair)) for pair in pairs if pair.redefined]
    if redefined:
        yield from _merged(redefined, subject, ChangeKind.UPDATE, "config-hash")
        return
    states = ((pair, state_difference(service, pair.container)) for pair in pairs)
    stopped = [(pair, difference) for pair, difference in states if difference is not None]
    yield from _merged(stopped, subject, ChangeKind.STATE, "fields")


def _checks(pair: Pair) -> tuple[Check, ...]:
    """All of them, but of a job that has ended well only what git itself changed: it is not run again for anything that
    happened on the host since.
    """
    state = pair.container.state
    if not pair.service.is_job or state.status != "exited" or state.exit_code != 0:
        return CHECKS
    if pair.redefined is False:
        return ()
    return tuple(check for check in CHECKS if check not in ATTACHMENTS)


def _pair(
    desired: DesiredTarget,
    service: DesiredService,
    container: ObservedContainer,
    observed: ObservedState,
    known: Mapping[str, str],
) -> Pair:
    wanted = undo_dollars(service.execution)
    return Pair(desired, service, wanted, container, observed.image(container.image_id), observed, known)


def _creation(service: DesiredService, subject: Subject) -> Change:
    return Change(
        ChangeKind.CREATE,
        subject,
        "",
        ABSENT,
        Value({"definition": definition_digest(service)}, summary(service)),
        f"git declares {service.name}, and this host has no container of it",
        service.location,
    )


def _replica_change(desired: DesiredTarget, service: DesiredService, count: int, subject: Subject) -> Iterator[Change]:
    if count != service.replicas and not (service.is_job and service.replicas):
        yield Change(
            ChangeKind.UPDATE,
            subject,
            "replicas",
            Value(count, str(count)),
            Value(service.replicas, str(service.replicas)),
            f"git asks for {service.replicas} of {service.name}, and there {'is' if count == 1 else 'are'} {count}",
            cause_of(desired, service, "replicas", None),
        )


def _hash_difference(pair: Pair) -> Difference:
    label = pair.container.labels[CONFIG_HASH_LABEL]
    after = pair.service.config_hash or ""
    return Difference(
        "definition",
        Value(label, f"Compose hash {label[:12]}"),
        Value(after, f"Compose hash {after[:12]}"),
        f"something that the engine does not show differs in git since {name_of(pair.container)} was created",
    )


def _merged(
    found: list[tuple[Pair, Difference]], subject: Subject, kind: ChangeKind, found_by: str
) -> Iterator[Change]:
    """One change per field and pair of values, however many replicas show it."""
    groups: dict[bytes, list[tuple[Pair, Difference]]] = {}
    for pair, difference in found:
        sides = [difference.field, difference.before.digestable, difference.after.digestable]
        groups.setdefault(canonical(plain(sides)), []).append((pair, difference))
    for group in groups.values():
        pair, difference = group[0]
        yield Change(
            kind,
            subject,
            difference.field,
            difference.before,
            difference.after,
            difference.why or _usual_why([pair for pair, _ in group]),
            cause_of(pair.desired, pair.service, difference.field, pair.redefined),
            found_by,
        )


def _usual_why(pairs: list[Pair]) -> str:
    names = ", ".join(name_of(pair.container) for pair in pairs)
    if any(pair.redefined for pair in pairs):
        return f"git changed since {names} {'was' if len(pairs) == 1 else 'were'} created"
    if all(pair.redefined is False for pair in pairs):
        return f"changed on the host: git is as it was when {names} {'was' if len(pairs) == 1 else 'were'} created"
    return f"{names} {'is' if len(pairs) == 1 else 'are'} not what git says"


def _left_over(desired: DesiredTarget, observed: ObservedState) -> Iterator[Change]:
    """Our containers that no service of git claims: orphans, one-offs, what an interrupted recreate left."""
    for container in observed.containers:
        if not container.owned:
            continue
        if is_temporary(container):
            what, why = "a temporary container", f"an interrupted recreate of {container.service} left it behind"
        elif container.one_off:
            what, why = "a one-off container", f"a single run of {container.service} left it behind"
        elif desired.service(container.service) is None:
            what = f"a container of {container.service}"
            why = "git no longer has this environment" if desired.removed else f"git has no service {container.service}"
        else:
            continue
        yield Change(
            ChangeKind.REMOVE,
            Subject(SubjectKind.CONTAINER, name_of(container)),
            "",
            Value({"service": container.service}, f"{what}, {image_text(observed, container)}"),
            ABSENT,
            why,
            destroys=True,
        )
