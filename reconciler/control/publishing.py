"""What we say on the forge: statuses, the one comment, and what the ledger keeps of having said it.

Everything here is output and never evidence. What has been said already, by the ledger's word, is not said again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.control import checkpoints, evidence, marks
from reconciler.control.parts import Parts
from reconciler.control.planning import Planned, TargetPlan, planned, unplanned
from reconciler.model.approval import Evidence, Gate, Landing, Open, RuleSet
from reconciler.model.deployment import Deployment, DeploymentKind, DeploymentState
from reconciler.model.errors import Retryable
from reconciler.model.pull_request import Comment, PullRequestReading
from reconciler.ports import StatusReport
from reconciler.reports import comment as comments
from reconciler.reports import gate as gates
from reconciler.reports import statuses
from reconciler.reports.escape import inline
from reconciler.reports.plan import change_lines

MOST_DIFFERENCES = 20
MOST_KEPT_CHANGES = 200


def post(
    parts: Parts,
    reading: PullRequestReading,
    plans: Sequence[TargetPlan],
    judged: Sequence[RuleSet],
    gate: Gate,
    notes: Sequence[str] = (),
) -> None:
    """Statuses on the head, the comment, the ledger: the plan that was shown, and the decision. `notes` are what a
    reviewer has to know beside the plans.
    """
    head = reading.pull_request.head_sha
    section = comments.plan_section(
        head,
        [plan.plan for plan in planned(plans)],
        [*notes, *(f"{away.target} is not planned: {away.error}" for away in unplanned(plans))],
    )
    rules = judged[0]
    remarks = (*gates.remarks(rules, [plan.plan.digest for plan in planned(plans)]), *_marks(parts, plans))
    body = comments.comment_markdown(section, rules.verdict, gate, remarks)
    texts = statuses.statuses(
        [plan.plan for plan in planned(plans)],
        rules.verdict,
        gate,
        fits=section.fits,
        unobserved=[away.target for away in unplanned(plans)],
    )
    _say(parts, reading, body, texts, decision(gate), planned(plans) if section.fits else None)


def _marks(parts: Parts, plans: Sequence[TargetPlan]) -> tuple[str, ...]:
    """What has to be known of environments whose glass was broken: the plans are made against what runs since then."""
    names = sorted({plan.target.environment_name for plan in plans})
    known = [(name, parts.states.environment(name)) for name in names]
    marked = [(name, marks.of(record.detail)) for name, record in known if record is not None]
    return tuple(
        f"{name} is marked {marks.HOLD}, and this plan is made against what runs since then: "
        f"{marks.text(found, parts.clock.now())}"
        for name, found in marked
        if found
    )


def announced(parts: Parts, revision: str, text: str, whole: str) -> None:
    """Before anybody breaks the glass: the status `reconciler/deploy` on the revision, and a comment on the open pull
    requests that have it for their head. ReconcilerError where the forge does not take it.
    """
    parts.told.discard(revision)
    parts.forge.write_status(revision, _report(statuses.status(statuses.DEPLOY, statuses.ERROR, text)))
    for pull in parts.forge.pull_requests_of(revision):
        if pull.state == "open" and pull.head_sha == revision:
            parts.forge.write_comment(pull.number, None, f"### {inline(text)}\n\n{inline(whole, 2000)}\n")


def unplannable(parts: Parts, reading: PullRequestReading, text: str) -> None:
    """A pull request for which there is no plan at all: invalid files, a conflict."""
    section = comments.plan_section(
        reading.pull_request.head_sha, (), ["no plan: " + line for line in text.split("\n")]
    )
    texts = (
        statuses.status(statuses.PLAN, statuses.FAILURE, _in_one_line(text)),
        statuses.status(statuses.POLICY, statuses.PENDING, "there is no plan to judge"),
        statuses.status(statuses.APPROVAL, statuses.PENDING, "there is no plan to approve"),
    )
    _say(parts, reading, section.text, texts, {"outcome": "unplannable", "text": text}, None)


def _in_one_line(text: str) -> str:
    """The first problem of an error that lists some, which says more than how many there are."""
    heading, *problems = (line.strip() for line in text.split("\n"))
    if not problems:
        return heading
    return problems[0] if len(problems) == 1 else f"{problems[0]} (and {len(problems) - 1} more)"


def ask_again(
    parts: Parts, reading: PullRequestReading, plans: Sequence[TargetPlan], gate: Gate, first_parent: str
) -> None:
    """After the merge the plan is another one: a comment of its own shows it, what differs and why, so that somebody
    can consent to it. `first_parent` is the commit that the pull request landed on.
    """
    number, head = reading.pull_request.number, reading.pull_request.head_sha
    key = evidence.subject(number)
    shown = [data for entry in parts.ledger.find("plan-posted", key) if (data := entry.data)["head_sha"] == head]
    last = shown[-1] if shown else {}
    before = last.get("digests", {})
    now = before | {str(plan.target): plan.plan.digest for plan in planned(plans)}
    tampered = any(p.edited_by_others for p in evidence.posted(parts, reading)[-1:])
    if now == before and not tampered:
        return
    asked = (
        "The plan changed after the merge. Nothing is deployed until somebody who counts approves this one, by a "
        f"review or by the comment: {gates.command([plan.plan.digest for plan in planned(plans)])}"
    )
    notes = [asked, *_differences(last, planned(plans), first_parent)]
    section = comments.plan_section(head, [plan.plan for plan in planned(plans)], notes)
    if not section.fits:
        return
    body = f"{section.text}\n### Approval\n\n{gates.gate_markdown(gate)}\n"
    with parts.saying:
        written = parts.forge.write_comment(number, None, body)
        # what stands in a comment that somebody wrote into was shown to nobody, of whichever environment it is
        _remember_plan(parts, reading, planned(plans), written, {} if tampered else last)
        _remember_decision(parts, reading, {"after_merge": decision(gate)}, body, written)


def _differences(last: Mapping[str, Any], plans: Sequence[Planned], first_parent: str) -> list[str]:
    """What differs from the plan that was shown last, target by target, and why."""
    said: list[str] = []
    for plan in plans:
        target, digest = str(plan.target), plan.plan.digest
        was = last.get("digests", {}).get(target)
        if was == digest:
            continue
        then, now = last.get("changes", {}).get(target, []), change_lines(plan.plan)
        gone = [f"no longer: {line}" for line in then if line not in now]
        new = [f"new: {line}" for line in now if line not in then]
        said.append(f"{target}: {was[:12] if was else 'nothing'} was shown, now it is {digest[:12]}")
        said += [f"{target}: {line}" for line in [*gone, *new][:MOST_DIFFERENCES]]
    landed_elsewhere = last.get("base_sha") not in (None, first_parent)
    why = "the branch had moved when it was merged" if landed_elsewhere else "what runs on the host has changed since"
    return [*said, f"Why: {why}."] if said else []


def record_gate(parts: Parts, subject: str, found: Evidence, gate: Gate) -> None:
    """Keep a decision in the ledger with the digests of what it was made from. The same decision again is not kept,
    unless something is deployed by it: the deployment's attestation covers the answers that it was made from.
    """
    facts = {
        "pull_request": found.reading.pull_request.number,
        **_pushed(found.reading),
        "landing": _landing(found.landing),
        "policies": {rules.origin: rules.verdict.policy_digest for rules in found.rule_sets},
        "waived": {rules.origin: list(rules.verdict.waived) for rules in found.rule_sets if rules.verdict.waived},
        "plans": {str(plan.target): plan.digest for plan in found.plans},
        "decision": decision(gate),
    }
    latest = parts.ledger.latest("gate", subject)
    before = latest.data if latest is not None else {}
    attestation = gate.attestation if isinstance(gate, Open) else None
    deploys = attestation is not None and bool(found.plans)
    if before.get("facts") == facts and (not deploys or before.get("attestation") == attestation):
        return
    data = {"facts": facts, "answers": _answers(found.reading), "attestation": attestation}
    parts.ledger.append("gate", subject, data, parts.clock.now())
    parts.progress("gate.decided", {"subject": subject, **decision(gate)})


def _pushed(reading: PullRequestReading) -> dict[str, Any]:
    """What was proposed and by whom, as the forge and git show it."""
    pull = reading.pull_request
    return {
        "head": pull.head_sha,
        "base_ref": pull.base_ref,
        "author": {"account": pull.author.id, "login": pull.author.login} if pull.author else None,
        "commits": [
            {"sha": commit.sha, "author": commit.author.id if commit.author else None} for commit in reading.commits
        ],
    }


def _landing(landing: Landing | None) -> dict[str, Any] | None:
    """How it landed: the tree at the end is proven to be that of merging what was approved."""
    if landing is None:
        return None
    return {
        "commits": list(landing.commits),
        "first_parent": landing.first_parent,
        "tree": landing.end_tree,
        "expected_tree": landing.expected_tree,
        "method": landing.method,
    }


def _answers(reading: PullRequestReading) -> list[list[str]]:
    """What the forge was asked and the SHA-256 of each raw answer."""
    return [list(pair) for pair in reading.raw_digests]


def decision(gate: Gate) -> dict[str, Any]:
    """A gate's answer as JSON values for the ledger."""
    return {
        "outcome": gates.outcome(gate),
        "missing": list(gates.missing_of(gate)),
        "reasons": [{"rule": reason.rule, "text": reason.text} for reason in gates.reasons_of(gate)],
        "approvals": [gates.approval_json(a) for a in gate.approvals] if isinstance(gate, Open) else [],
    }


def deployed(parts: Parts, revision: str) -> None:
    """The status `reconciler/deploy` on a landed commit, from the records of all its environments and from what holds
    one of them there: while one is held, the commit is not deployed, whatever became of the others.

    A forge that is down is asked again with the next reconciliation; the record does not wait for it.
    """
    parts.told.discard(revision)
    latest: dict[str, Deployment] = {}
    for deployment in parts.deployments.of_revision(revision):
        if deployment.kind.value in ("change", "rollback", "break-glass"):
            latest[f"{deployment.project}/{deployment.environment}"] = deployment
    held = {
        str(record.name): f"{record.name} held: {record.hold_reason}"
        for record in parts.states.environments()
        if record.hold is not None and record.hold_commit == revision
    }
    said = held | {name: f"{name} {d.outcome.value}" for name, d in latest.items() if name not in held}
    if not said:
        parts.told.add(revision)
        return
    if held:
        state = statuses.FAILURE
        first = [said[name] for name in sorted(held)]
        text = "; ".join(first + [said[name] for name in sorted(said) if name not in held])
    else:
        worst = statuses.deploy_status(max(latest.values(), key=_badness))
        state = worst.state
        text = ", ".join(said[name] for name in sorted(said)) if len(said) > 1 else worst.description
    _landed_status(parts, revision, statuses.status(statuses.DEPLOY, state, text))


def group(parts: Parts, head: str, branch: str, texts: Sequence[statuses.StatusText]) -> None:
    """The three statuses on the head of a merge queue's group; said once."""
    facts = {"branch": branch, "statuses": [[text.context, text.state, text.description] for text in texts]}
    latest = parts.ledger.latest("merge-group", head)
    if latest is not None and latest.data == facts:
        return
    for text in texts:
        parts.forge.write_status(head, _report(text))
    parts.ledger.append("merge-group", head, facts, parts.clock.now())
    parts.progress("merge_group.judged", {"head": head, **facts})


def told(parts: Parts, revision: str) -> bool:
    """Whether this process has said of a landed commit what there was to say; what changes since is said at once."""
    return revision in parts.told


def _badness(deployment: Deployment) -> int:
    if deployment.kind is DeploymentKind.BREAK_GLASS:
        return 3
    if deployment.outcome is DeploymentState.SUCCEEDED:
        return 0
    return 2 if deployment.outcome.final else 1


def _landed_status(parts: Parts, sha: str, text: statuses.StatusText) -> None:
    facts = {"state": text.state, "description": text.description}
    latest = parts.ledger.latest("deploy-status", sha)
    said = latest.data if latest is not None else {}
    if {name: said.get(name) for name in facts} == facts:  # a new anchor alone says nothing new of the deployment
        parts.told.add(sha)
        return
    anchor = checkpoints.anchor(parts)
    try:
        parts.forge.write_status(sha, _report(statuses.anchored(text, anchor)))
    except Retryable as error:
        parts.progress("status.delayed", {"revision": sha, "reason": str(error)})
        return
    parts.ledger.append("deploy-status", sha, {**facts, "anchor": anchor}, parts.clock.now())
    parts.told.add(sha)


def _say(
    parts: Parts,
    reading: PullRequestReading,
    body: str,
    texts: Sequence[statuses.StatusText],
    decided: Mapping[str, Any],
    plans: Sequence[Planned] | None,
) -> None:
    pull = reading.pull_request
    said = [[text.context, text.state, text.description] for text in texts]
    facts = {"head": pull.head_sha, "statuses": said, "decision": dict(decided)}
    subject = evidence.subject(pull.number)
    latest = parts.ledger.latest("gate", subject)
    before = latest.data if latest is not None else {}
    posted = evidence.posted(parts, reading)
    shown = posted[-1] if posted else None
    digests = {str(plan.target): plan.plan.digest for plan in plans or ()}
    moved = plans is not None and (
        shown is None
        or shown.edited_by_others
        or (shown.head_sha, shown.base_ref) != (pull.head_sha, pull.base_ref)
        or {str(target): digest for target, digest in shown.digests} != digests
    )
    if not moved and before.get("facts") == facts and before.get("body") == evidence.body_digest(body):
        return
    with parts.saying:
        written = parts.forge.write_comment(pull.number, _ours(parts, pull.number), body)
        if moved and plans is not None:
            _remember_plan(parts, reading, plans, written, {})
        for text in texts:
            parts.forge.write_status(pull.head_sha, _report(text))
        _remember_decision(parts, reading, facts, body, written)
    parts.progress("pull_request.judged", {"pull_request": pull.number, "head": pull.head_sha, **decided})


def _remember_plan(
    parts: Parts, reading: PullRequestReading, plans: Sequence[Planned], written: Comment, last: Mapping[str, Any]
) -> None:
    """What was shown; of targets that these plans do not name, what was shown of them `last`."""
    pull = reading.pull_request
    digests = {str(plan.target): plan.plan.digest for plan in plans}
    changes = {str(plan.target): list(change_lines(plan.plan))[:MOST_KEPT_CHANGES] for plan in plans}
    parts.ledger.append(
        "plan-posted",
        evidence.subject(pull.number),
        {
            "head_sha": pull.head_sha,
            "base_ref": pull.base_ref,
            "base_sha": reading.remote_base,
            "digests": last.get("digests", {}) | digests,
            "changes": last.get("changes", {}) | changes,
            "comment": written.id,
            "updated_at": written.updated_at.isoformat(),
        },
        parts.clock.now(),
    )


def _remember_decision(
    parts: Parts, reading: PullRequestReading, facts: Mapping[str, Any], body: str, written: Comment
) -> None:
    data = {
        "facts": dict(facts),
        "body": evidence.body_digest(body),
        "comment": written.id,
        "comment_updated_at": written.updated_at.isoformat(),
        "answers": _answers(reading),
    }
    parts.ledger.append("gate", evidence.subject(reading.pull_request.number), data, parts.clock.now())


def _ours(parts: Parts, number: int) -> int | None:
    """Our comment on a pull request, by the ledger or, when that is lost, by account and marker."""
    latest = parts.ledger.latest("gate", evidence.subject(number))
    known = latest.data.get("comment") if latest is not None else None
    account, _ = parts.forge.who()
    for comment in parts.forge.comments(number):
        mine = comment.account is not None and comment.account.id == account
        if comment.id == known or (known is None and mine and comments.read_marker(comment.body) is not None):
            return comment.id
    return None


def _report(text: statuses.StatusText) -> StatusReport:
    return StatusReport(text.context, text.state, text.description)
