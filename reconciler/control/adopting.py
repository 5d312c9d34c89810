"""Taking over a commit that came without an approved pull request: `operations/adopt-<sha>.yaml`, a pull request like
any other. Called by judging (what it would deploy), by advancing (once it has landed), and by the command line.

The file decides nothing by itself. What counts is that the pull request which brought it is approved, for exactly the
plans of that commit, by somebody who had no part in the commit either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.control import changes, history, planning, remembering
from reconciler.control.changes import Change
from reconciler.control.parts import Parts
from reconciler.control.planning import Snapshot
from reconciler.desired import ADOPTIONS, adoption_path
from reconciler.model.approval import Landing
from reconciler.model.desired import Adoption
from reconciler.model.errors import InvalidInput, NotFound, UntrustedHistory
from reconciler.model.pull_request import Account, Adopted, PullRequest
from reconciler.model.target import EnvironmentName
from reconciler.ports import FileProposal, NewPullRequest, TrustRecord

BRANCH = "reconciler/adopt-"
MOST_COMMITS = 50
"""More than that one commit may not bring in: each is asked for by itself, and nobody reads them all."""


# -- after the merge -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Landed:
    """The landing of a pull request that adopts a commit before it, and does nothing else."""

    pull_request: int
    landing: Landing
    adoption: Adoption

    def covers(self, name: EnvironmentName, change: Change) -> bool:
        """Whether it takes this environment on; rules are taken on for all of them or not at all."""
        named = self.adoption.environments
        return not named or (name in named and not change.rules.rules_touched)


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A commit as if it had landed by the pull request that adopts it; `landing` is that pull request's own."""

    pull_request: int
    landing: Landing
    revision: str
    first_parent: str
    adopted: Adopted


def landed(parts: Parts, steps: Sequence[history.Step], tip: str) -> Mapping[str, Landed]:
    """Per adopted commit the last landing after it that adopts it, while the file stands at the tip as it landed: one
    that is deleted or changed takes the adoption back for whoever has not gone on yet.
    """
    found: dict[str, Landed] = {}
    unapproved: set[str] = set()
    for step in steps:
        if isinstance(step, history.Unapproved):
            unapproved.add(step.revision)
        elif unapproved and (adoption := _brought(parts, step, tip)) is not None and adoption.commit in unapproved:
            found[adoption.commit] = Landed(step.pull_request, step.landing, adoption)
    return found


def _brought(parts: Parts, step: history.Landed, tip: str) -> Adoption | None:
    before, after = parts.source.commit(step.first_parent).tree, parts.source.commit(step.revision).tree
    files = parts.source.changed_paths(before, after)
    if len(files) != 1 or not files[0].startswith(ADOPTIONS):
        return None
    try:
        at = planning.snapshot(parts.source.tree(step.revision))
        now = parts.source.tree(tip).files.get(files[0])
    except InvalidInput:
        return None
    return at.state.adoption(files[0]) if now == at.tree.files.get(files[0]) else None


def taken_over(parts: Parts, step: history.Unapproved, by: Landed) -> TakenOver:
    """The commit with all the hands it went through. InvalidInput where it brings in more than anybody could read."""
    adopted = hands(parts, step.first_parent, step.revision)
    return TakenOver(by.pull_request, by.landing, step.revision, step.first_parent, adopted)


def hands(parts: Parts, first_parent: str, sha: str) -> Adopted:
    """Who made the commits that one commit of the deploy branch brought, and who pushed it there, by the forge's word.

    Nothing is taken for an "Update branch" here: what nobody approved was not made by nobody.
    """
    own = parts.source.commits_between(first_parent, sha)
    if len(own) > MOST_COMMITS:
        raise InvalidInput(f"{sha[:12]} brings in {len(own)} commits, too many to adopt at once; undo it instead")
    commits = tuple(replace(parts.forge.commit(commit.sha), empty_update_merge=False) for commit in own)
    pushers: dict[int, Account] = {}
    for push in parts.forge.pushes(parts.branch):
        if push.account is not None and _brought_by(parts, sha, push.before, push.after):
            pushers.setdefault(push.account.id, push.account)
    return Adopted(sha, commits, tuple(pushers[account] for account in sorted(pushers)))


def _brought_by(parts: Parts, sha: str, before: str | None, after: str | None) -> bool:
    """Whether a movement of the branch brought the commit; one that cannot be told counts, for it only takes away."""

    def holds(newer: str | None) -> bool | None:
        if newer is None or not newer.strip("0"):
            return False
        try:
            return parts.source.is_ancestor(sha, newer)
        except NotFound:
            return None

    return holds(after) is not False and holds(before) is not True


# -- before the merge ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposed:
    """What an adoption would do: the change is that of the adopted commit, for the environments that it holds."""

    adoption: Adoption
    change: Change
    adopted: Adopted
    why: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reviewer has to know beside the plans."""
        sha = self.adoption.commit
        makers = {c.author.login if c.author is not None else c.author_email for c in self.adopted.commits}
        pushed = ", ".join(account.login for account in self.adopted.pushers) or "somebody whom the forge does not name"
        named = [str(name) for name in self.adoption.environments]
        return (
            f"This adopts {sha}: {self.why}.",
            f"It is by {', '.join(sorted(makers))}, pushed by {pushed}; none of them can approve this.",
            f"Once this has landed and is approved, exactly this is deployed for {', '.join(named) or 'all it holds'}.",
            f"Why: {self.adoption.why}",
        )


def proposed(parts: Parts, trust: TrustRecord, change: Change, base: str) -> Proposed | None:
    """What a pull request adopts, None where it adopts nothing. `change` is the pull request's own, onto `base`.

    InvalidInput where it cannot be adopted, or is adopted along with something else.
    """
    files = [path for path in change.files if path.startswith(ADOPTIONS) and path in change.after.tree.files]
    if not files:
        return None
    adoption = change.after.state.adoption(files[0])
    if adoption is None or len(change.files) > 1:
        others = ", ".join(path for path in change.files if path != files[0])
        raise InvalidInput(f"an adoption is a pull request of its own: {files[0]} comes along with {others}")
    return _resolved(parts, trust, adoption, base, change.before)


def _resolved(parts: Parts, trust: TrustRecord, adoption: Adoption, tip: str, base: Snapshot) -> Proposed:
    steps = dict(_lines(parts, trust, tip))
    holding = {name: line for name, line in steps.items() if _step(line, adoption.commit) is not None}
    if not holding:
        raise InvalidInput(_not_to_adopt(parts, trust, adoption.commit, tip))
    step = next(found for line in holding.values() if (found := _step(line, adoption.commit)) is not None)
    own = _change(parts, step, base)
    touched = tuple(name for name in holding if own.rules.rules_touched or name in own.environments)
    chosen = tuple(name for name in touched if not adoption.environments or name in adoption.environments)
    sha = adoption.commit[:12]
    if adoption.environments and own.rules.rules_touched:
        raise InvalidInput(f"{sha} changes rules or hosts, which are adopted for all environments or not at all")
    for name in adoption.environments:
        if name not in touched:
            raise InvalidInput(f"{sha} does not hold {name}, so there is nothing to adopt for it")
    if not chosen:
        raise InvalidInput(f"{sha} holds no environment, so there is nothing to adopt")
    for name in chosen:
        _first(parts, name, holding[name], adoption.commit, tip, base)
    affected = tuple(name for name in own.environments if name in chosen)
    adopted = hands(parts, step.first_parent, step.revision)
    return Proposed(adoption, replace(own, environments=affected), adopted, step.reason.text)


def _lines(parts: Parts, trust: TrustRecord, tip: str) -> Iterator[tuple[EnvironmentName, tuple[history.Step, ...]]]:
    """What lies between each environment and the tip; the same way is read once."""
    known: dict[str, tuple[history.Step, ...]] = {}
    for name in remembering.environments(parts):
        verified = remembering.record(parts, name).verified or trust.revision
        if verified not in known:
            try:
                known[verified] = history.steps(parts, trust.repository, verified, tip)
            except UntrustedHistory:
                known[verified] = ()
        yield name, known[verified]


def _step(line: Sequence[history.Step], sha: str) -> history.Unapproved | None:
    return next((s for s in line if isinstance(s, history.Unapproved) and s.revision == sha), None)


def _change(parts: Parts, step: history.Unapproved, base: Snapshot) -> Change:
    try:
        before = planning.snapshot(parts.source.tree(step.first_parent))
    except InvalidInput:
        before = base
    return changes.between(parts, before, parts.source.tree(step.revision))


def _first(
    parts: Parts, name: EnvironmentName, line: Sequence[history.Step], sha: str, tip: str, base: Snapshot
) -> None:
    """InvalidInput where an earlier commit holds the environment: its content would be deployed along."""
    adoptions = landed(parts, line, tip)
    for step in line:
        if step.revision == sha:
            return
        if isinstance(step, history.Landed) or step.revision in adoptions:
            continue
        try:
            earlier = _change(parts, step, base)
        except InvalidInput as error:
            raise InvalidInput(f"{step.revision[:12]}, which is in it, cannot be read: {error}") from error
        if earlier.rules.rules_touched or name in earlier.environments:
            raise InvalidInput(
                f"{sha[:12]} holds what {step.revision[:12]} did to {name} before it, which nobody approved either; "
                "that one is adopted or undone first"
            )


def _not_to_adopt(parts: Parts, trust: TrustRecord, sha: str, tip: str) -> str:
    try:
        steps = history.steps(parts, trust.repository, trust.revision, tip)
    except UntrustedHistory:
        steps = ()
    for step in steps:
        if isinstance(step, history.Landed) and sha in step.landing.commits:
            return f"{sha[:12]} landed by pull request {step.pull_request}; who wants it approves it there"
        if step.revision == sha:
            return f"{sha[:12]} holds nothing any more: it was adopted or undone, or touches no environment"
    return f"{sha[:12]} is no commit of {parts.branch} that nobody approved, so there is nothing to adopt"


# -- asking for it -------------------------------------------------------------------------------------------------


def propose(
    parts: Parts, commit: str, why: str, environments: tuple[EnvironmentName, ...], token: str
) -> tuple[PullRequest, Adoption]:
    """Open the pull request that adopts a commit, with the proposer's token. Nothing is deployed before it is approved
    and merged. `commit` is the full SHA or its beginning. InvalidInput where there is nothing to adopt.
    """
    if not why.strip() or not why.isprintable():
        raise InvalidInput("why is it adopted? On one line; the reason stays in the repository")
    parts.source.fetch()
    trust = remembering.trusted(parts)
    tip = parts.source.branch_head(parts.branch)
    base = changes.base_at(parts, trust, tip)
    adoption = Adoption(_full(parts, trust, commit, tip), why.strip(), environments)
    _resolved(parts, trust, adoption, tip, base)
    account, login = parts.forge.who(token)
    branch = f"{BRANCH}{adoption.commit[:12]}"
    title = f"Adopt {adoption.commit[:12]}"
    parts.source.propose_file(
        FileProposal(
            path=adoption_path(adoption.commit),
            content=content(adoption),
            onto=tip,
            branch=branch,
            message=f"{title}\n\n{adoption.why}\n",
            author_name=login,
            author_email=f"{account}+{login}@users.noreply.github.com",
            token=token,
        )
    )
    body = (
        f"{adoption.commit} came to {parts.branch} without an approved pull request. This takes it over as it is; the "
        f"plan comment shows what that deploys.\n\nWhy: {adoption.why}\n"
    )
    pull = parts.forge.open_pull_request(NewPullRequest(title, body, branch, parts.branch, token))
    facts = {"pull_request": pull.number, "environments": [str(name) for name in environments], "by": login}
    parts.ledger.append("adoption-proposed", adoption.commit, facts, parts.clock.now())
    return pull, adoption


def content(adoption: Adoption) -> bytes:
    """The file; JSON text is YAML text, whatever stands in the reason."""
    lines = [f'adopt: "{adoption.commit}"', f"why: {json.dumps(adoption.why, ensure_ascii=False)}"]
    if adoption.environments:
        lines.append(f"environments: [{', '.join(str(name) for name in sorted(adoption.environments))}]")
    return ("\n".join(lines) + "\n").encode()


def _full(parts: Parts, trust: TrustRecord, commit: str, tip: str) -> str:
    word = commit.strip().lower()
    if len(word) < 7 or word.strip("0123456789abcdef"):
        raise InvalidInput(f"'{commit}' is no commit; name it by its SHA, or the first 7 digits of it")
    shas = {s.revision for _, line in _lines(parts, trust, tip) for s in line if isinstance(s, history.Unapproved)}
    found = sorted(sha for sha in shas if sha.startswith(word))
    if len(found) > 1:
        raise InvalidInput(f"{len(found)} commits begin with {word}; name the whole one")
    if not found and len(word) < 40:
        raise InvalidInput(f"no commit that begins with {word} holds anything")
    return found[0] if found else word
