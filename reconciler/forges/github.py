"""GitHub, GitHub Enterprise and the embedded forge, over the REST API of 2022-11-28. Implements ports.Forge.

Bootstrap makes one per credential. It reads and translates; what evidence is worth is for the gate to say. An answer
that is missing raises, a list that is not whole makes the reading incomplete, and nothing is filled in.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from githubkit.response import Response
from githubkit.utils import UNSET
from pydantic import TypeAdapter

from reconciler.approvals.words import DECISIVE, HEX_RUN, command_in
from reconciler.forges import answers
from reconciler.forges.answers import (
    ActivityAnswer,
    CommentAnswer,
    CommitAnswer,
    IdentityAnswer,
    ReviewAnswer,
    account_of,
)
from reconciler.forges.connection import PER_PAGE, Connection, Failed, Throttled
from reconciler.forges.trailers import address_of, noreply_account, trailers
from reconciler.model.errors import InvalidInput, NotAllowed, NotFound
from reconciler.model.pull_request import (
    Capability,
    Comment,
    Permission,
    PullRequest,
    PullRequestCommit,
    PullRequestReading,
    Push,
    Review,
    ReviewState,
    TimelineEvent,
    TimelineKind,
)
from reconciler.model.revision import CommitInfo
from reconciler.ports import NewPullRequest, StatusReport

if TYPE_CHECKING:
    from githubkit_schemas.v2022_11_28.rest import RestNamespace

T = TypeVar("T")

MOST_COMMITS = 250  # where /pulls/{n}/commits stops, whatever the page
MOST_PUSHES = 1000  # that are read of one branch
LONGEST_DESCRIPTION = 140
LONGEST_BODY = 65_536
WRITES_PER_MINUTE = 60  # GitHub's secondary limit is 80 requests that make content
WEB_FLOW = 19_864_447  # commits for others on github.com; its address says nothing of a person
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(\[bot\])?")
KEPT_READINGS = 500
EDITS = """query($ids: [ID!]!) { nodes(ids: $ids) {
  ... on IssueComment { id lastEditedAt } ... on PullRequestReview { id lastEditedAt } } }"""
CONCLUSIONS = {"success": "success", "failure": "failure", "error": "failure"}
PERSONAL_TOKENS = ("ghp_", "gho_", "ghu_", "github_pat_")  # never an app's, so check runs need not be tried

RemoteHeads = Callable[[Sequence[str]], Mapping[str, str]]
LocalCommits = Callable[[str, str], Sequence[CommitInfo]]


def _whole(pages: Iterable[tuple[list[T], str, str]], digests: list[tuple[str, str]]) -> list[T]:
    """What is on all pages; the name of each page and SHA-256 of its bytes are added to `digests`."""
    found: list[T] = []
    for items, name, digest in pages:
        found += items
        digests.append((name, digest))
    return found


def _quotes(body: str | None) -> bool:
    return HEX_RUN.search((body or "").lower()) is not None


class _NotShown(Exception):
    """The forge has no log of a branch's movements, or does not show it to us."""


@dataclass(frozen=True, slots=True)
class _Between:
    """What follows from the two commits that a pull request lies between, and SHA-256 of the answers that say so."""

    commits: tuple[PullRequestCommit, ...]
    pushes: tuple[Push, ...] | None
    digests: list[tuple[str, str]]


class GitHub:
    """One repository with one credential. Safe from several threads; `timeout` is in seconds, for each answer.

    `remote_heads` is `git ls-remote` (gate 62) and `local_commits` the mirror's commits_between, for pull requests
    with more commits than the API lists; without them such readings are incomplete. `is_clean_update` says of a merge
    commit whether it only brings the base in; without it none does. `writes_per_minute` is how much we say at most.
    """

    def __init__(
        self,
        api: str,
        repository: str,
        token: str,
        timeout: float = 30,
        remote_heads: RemoteHeads | None = None,
        local_commits: LocalCommits | None = None,
        is_clean_update: Callable[[str], bool] | None = None,
        writes_per_minute: int = WRITES_PER_MINUTE,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_.-]+", repository, re.ASCII):
            raise InvalidInput(f"'{repository}' is not of the form OWNER/NAME", where="forge.repository")
        self._owner, self._name = repository.split("/")
        self._connection = Connection(api, token, timeout)
        self._remote_heads = remote_heads
        self._local_commits = local_commits
        self._is_clean_update = is_clean_update or (lambda _: False)
        self._noreply_hosts = ("github.com", self._connection.hostname)
        self._writes = threading.Lock()
        self._written: deque[float] = deque(maxlen=writes_per_minute)
        self._is_app = not token.startswith(PERSONAL_TOKENS)  # until a 403 says otherwise
        self._app_id: int | None = None
        self._between: dict[tuple[object, ...], _Between] = {}

    def close(self) -> None:
        """End the open connections."""
        self._connection.close()

    def repository_id(self) -> int:
        return self._repository()[0]

    def who(self, token: str | None = None) -> tuple[int, str]:
        """Account id and login of the engine's own credential, or of another token."""
        connection = self._connection if token is None else self._connection.of(token)
        account, _ = connection.get(answers.ACCOUNT, "user", lambda rest: rest.users.get_authenticated())
        return account.id, account.login

    def open_pull_requests(self, base_ref: str) -> tuple[PullRequest, ...]:
        """All open ones into a branch, by number. A list has no commit counts: `commit_count` is 0."""
        found: dict[int, PullRequest] = {}
        for items, _, _ in self._connection.pages(
            answers.PULLS,
            f"pulls of {base_ref}",
            lambda rest, page: rest.pulls.list(
                self._owner, self._name, state="open", base=base_ref, sort="created", direction="asc",
                per_page=PER_PAGE, page=page,
            ),
        ):  # fmt: skip
            found |= {item.number: item.pull_request() for item in items if item.base.ref == base_ref}
        return tuple(found[number] for number in sorted(found))

    def pull_request(self, number: int) -> PullRequest:
        return self._pull(number)[0]

    def pull_requests_of(self, sha: str) -> tuple[PullRequest, ...]:
        """Pull requests whose commits or merge commit include this one, each read by itself: a list does not say
        for sure what is merged. NotFound when the forge has no such commit.
        """
        numbers: set[int] = set()
        try:
            for items, _, _ in self._connection.pages(
                answers.NUMBERS,
                f"commits/{sha}/pulls",
                lambda rest, page: rest.repos.list_pull_requests_associated_with_commit(
                    self._owner, self._name, sha, per_page=PER_PAGE, page=page
                ),
            ):
                numbers |= {item.number for item in items}
        except Failed as error:
            if error.status == 422:
                raise NotFound(error.text, where=error.where) from None
            raise
        return tuple(self.pull_request(number) for number in sorted(numbers))

    def reading(self, number: int) -> PullRequestReading:
        """All evidence of a pull request, every page, the pull request read before and after.

        Raises ForgeUnavailable (Retryable) when an answer is missing, NotFound when there is no such pull request.
        """
        gaps: list[str] = []
        digests: list[tuple[str, str]] = []
        pull, digest = self._pull(number)
        digests.append((f"pulls/{number}", digest))
        found = self._reviews(number, gaps, digests)
        timeline = self._timeline(number, digests)
        between = self._read_between(pull, timeline, gaps)
        digests += between.digests
        reviews, comments = self._with_edits(found, self._comments(number, digests), digests)
        permissions = self._permissions(reviews, comments, digests)
        if self._reviews(number, gaps, []) != found:
            gaps.append("the reviews changed while they were read")
        again, digest = self._pull(number)
        digests.append((f"pulls/{number} again", digest))
        remote_head, remote_base = self._remote(again, gaps)
        return PullRequestReading(
            pull_request=pull,
            again=again,
            reviews=reviews,
            commits=between.commits,
            timeline=timeline,
            permissions=permissions,
            remote_head=remote_head,
            remote_base=remote_base,
            complete=not gaps,
            gaps=tuple(dict.fromkeys(gaps)),
            raw_digests=tuple(digests),
            comments=comments,
            pushes=between.pushes or (),
            lacks=(Capability.ACTIVITY,) if between.pushes is None else (),
        )

    def commit(self, sha: str) -> PullRequestCommit:
        """A commit as the forge attributes it. NotFound when the forge has no such commit."""
        try:
            answer, _ = self._connection.get(
                answers.COMMIT, f"commits/{sha}", lambda rest: rest.repos.get_commit(self._owner, self._name, sha)
            )
        except Failed as error:
            if error.status == 422:
                raise NotFound(error.text, where=error.where) from None
            raise
        return self._listed_commit(answer, _accounts_by_address([answer]))

    def pushes(self, branch: str) -> tuple[Push, ...]:
        """Who moved a branch, newest first, of its last hundred movements; empty where the forge does not say."""
        try:
            items, _, _ = next(self._activity(branch))
        except _NotShown:
            return ()
        return tuple(item.value() for item in items)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """All comments of a pull request, oldest first."""
        return tuple(item.value() for item in self._comments(number, []))

    def write_comment(self, number: int, comment: int | None, body: str) -> Comment:
        """Create (None) or edit our comment in place; editing to the same text does nothing. One that somebody
        deleted is made again.
        """
        if len(body) > LONGEST_BODY:
            raise InvalidInput(f"the comment has {len(body)} characters, more than {LONGEST_BODY}")
        with self._writes:
            if comment is not None:
                try:
                    return self._edited(comment, body)
                except NotFound:
                    pass
            self._count_write(f"issues/{number}/comments")
            created, _ = self._connection.get(
                answers.COMMENT,
                f"issues/{number}/comments",
                lambda rest: rest.issues.create_comment(self._owner, self._name, number, data={"body": body}),
            )
            return created.value()

    def write_status(self, sha: str, status: StatusReport) -> None:
        """A check run where the credential is an app's, else a commit status; nothing when it says this already."""
        description = status.description[:LONGEST_DESCRIPTION]
        with self._writes:
            if self._is_app:
                try:
                    self._write_check_run(sha, status, description)
                    return
                except Failed as error:
                    if error.status != 403:
                        raise
                    self._is_app = False
            self._write_commit_status(sha, status, description)

    def open_pull_request(self, request: NewPullRequest) -> PullRequest:
        """Open one with the proposer's token. Where the same one (branches and title) is open already, that one.

        NotAllowed when the token may not, InvalidInput when the forge refuses the request.
        """
        theirs = self._connection.of(request.token)
        try:
            opened, _ = theirs.get(
                answers.PULL,
                "pulls",
                lambda rest: rest.pulls.create(
                    self._owner, self._name,
                    data={"title": request.title, "body": request.body, "head": request.head_ref,
                          "base": request.base_ref},
                ),
            )  # fmt: skip
        except Failed as error:
            if error.status in (401, 403):
                raise NotAllowed(error.text, where=error.where, hint=error.hint) from None
            if error.status != 422:
                raise
            for existing in self.open_pull_requests(request.base_ref):
                same_branch = existing.head_ref == request.head_ref
                if same_branch and existing.head_repository == existing.repository and existing.title == request.title:
                    return existing
            raise InvalidInput(error.text, where=error.where) from None
        return opened.pull_request()

    def review(self, number: int, approve: bool, head_sha: str, body: str, token: str) -> int:
        """Approve a commit or ask for changes with a person's token. NotAllowed where the forge refuses."""
        data: Any = {"event": "APPROVE" if approve else "REQUEST_CHANGES", "commit_id": head_sha, "body": body}
        made = self._as_person(
            answers.REVIEW,
            f"pulls/{number}/reviews",
            token,
            lambda rest: rest.pulls.create_review(self._owner, self._name, number, data=data),
        )
        return made.id

    def say(self, number: int, body: str, token: str) -> Comment:
        """Comment with a person's token. NotAllowed where the forge refuses."""
        made = self._as_person(
            answers.COMMENT,
            f"issues/{number}/comments",
            token,
            lambda rest: rest.issues.create_comment(self._owner, self._name, number, data={"body": body}),
        )
        return made.value()

    def _as_person(
        self, shape: TypeAdapter[T], name: str, token: str, call: Callable[[RestNamespace], Response[Any, Any]]
    ) -> T:
        try:
            made, _ = self._connection.of(token).get(shape, name, call)
        except Failed as error:
            if error.status in (401, 403, 422):
                raise NotAllowed(error.text, where=error.where, hint=error.hint) from None
            raise
        return made

    def _repository(self) -> tuple[int, str]:
        answer, digest = self._connection.get(
            answers.REPOSITORY, "repository", lambda rest: rest.repos.get(self._owner, self._name)
        )
        return answer.id, digest

    def _pull(self, number: int) -> tuple[PullRequest, str]:
        answer, digest = self._connection.get(
            answers.PULL, f"pulls/{number}", lambda rest: rest.pulls.get(self._owner, self._name, number)
        )
        return answer.pull_request(), digest

    def _comments(self, number: int, digests: list[tuple[str, str]]) -> list[CommentAnswer]:
        pages = self._connection.pages(
            answers.COMMENTS,
            f"issues/{number}/comments",
            lambda rest, page: rest.issues.list_comments(self._owner, self._name, number, per_page=PER_PAGE, page=page),
        )
        return _whole(pages, digests)

    def _with_edits(
        self, reviews: Sequence[ReviewAnswer], comments: Sequence[CommentAnswer], digests: list[tuple[str, str]]
    ) -> tuple[tuple[Review, ...], tuple[Comment, ...]]:
        """The reviews and comments, and of those whose text may approve whether it was edited. Reviews have no time of
        that in REST, and a comment that is edited in the second in which it was written keeps its times.
        """
        edited = self._edits(
            [
                *(item.node_id for item in reviews if item.state == ReviewState.APPROVED and _quotes(item.body)),
                *(i.node_id for i in comments if i.updated_at == i.created_at and command_in(i.body) is not None),
            ],
            digests,
        )
        return (
            tuple(replace(item.value(), edited=edited.get(item.node_id)) for item in reviews),
            tuple(replace(item.value(), edited=edited.get(item.node_id)) for item in comments),
        )

    def _edits(self, nodes: Sequence[str], digests: list[tuple[str, str]]) -> Mapping[str, bool]:
        """Whether each was edited, by node id, as far as the forge says it."""
        asked = [node for node in nodes if node]
        edited: dict[str, bool] = {}
        for start in range(0, len(asked), PER_PAGE):
            name = f"edits of reviews and comments {start + 1} and on"
            answer = self._connection.query(answers.EDITS, name, EDITS, {"ids": asked[start : start + PER_PAGE]})
            if answer is not None:
                said, digest = answer
                found = said.data.nodes if said.data is not None else []
                edited |= {node.id: node.last_edited_at is not None for node in found if node is not None}
                digests.append((name, digest))
        return edited

    def _read_between(self, pull: PullRequest, timeline: Sequence[TimelineEvent], gaps: list[str]) -> _Between:
        """Read once for the same two commits, as long as nobody forced the head away and back. Where it is not whole,
        or the newest activity is not of this head yet, it is read again the next time.
        """
        forced = sum(event.kind is TimelineKind.HEAD_FORCE_PUSHED for event in timeline)
        between = (pull.number, pull.head_sha, pull.base_sha, pull.commit_count, pull.head_ref, forced)
        kept = self._between.get(between)
        if kept is None:
            missing: list[str] = []
            digests: list[tuple[str, str]] = []
            kept = _Between(self._commits(pull, missing, digests), self._pushes(pull, missing, digests), digests)
            known = kept.pushes is None or any(push.after == pull.head_sha for push in kept.pushes[:1])
            if known and not missing:
                if len(self._between) >= KEPT_READINGS:
                    self._between.clear()
                self._between[between] = kept
            gaps += missing
        return kept

    def _pushes(self, pull: PullRequest, missing: list[str], digests: list[tuple[str, str]]) -> tuple[Push, ...] | None:
        """Who moved the head branch since it was made, newest first, by the forge's log; None where it has none or does
        not show it to us. It may lag behind: what is missing in it proves nothing.
        """
        pushes: list[Push] = []
        try:
            for items, name, digest in self._activity(pull.head_ref):
                digests.append((name, digest))
                for push in (item.value() for item in items):
                    pushes.append(push)
                    if push.before is not None and not push.before.strip("0"):
                        return tuple(pushes)
                if len(pushes) >= MOST_PUSHES:
                    missing.append(
                        f"{pull.head_ref} was moved more than {MOST_PUSHES} times: propose it on a new branch"
                    )
                    break
        except _NotShown:
            return None
        return tuple(pushes)

    def _activity(self, branch: str) -> Iterator[tuple[list[ActivityAnswer], str, str]]:
        """The movements of a branch, newest first, page by page; _NotShown where the forge does not show them to us."""
        try:
            yield from self._connection.continued(
                answers.ACTIVITY,
                f"activity of {branch}",
                lambda rest, after: rest.repos.list_activities(
                    self._owner, self._name, ref=f"refs/heads/{branch}", per_page=PER_PAGE, after=after or UNSET
                ),
            )
        except NotFound:
            raise _NotShown from None
        except Failed as error:
            if error.status in (403, 422):
                raise _NotShown from None
            raise

    def _reviews(self, number: int, gaps: list[str], digests: list[tuple[str, str]]) -> list[ReviewAnswer]:
        pages = self._connection.pages(
            answers.REVIEWS,
            f"pulls/{number}/reviews",
            lambda rest, page: rest.pulls.list_reviews(self._owner, self._name, number, per_page=PER_PAGE, page=page),
        )
        found = _whole(pages, digests)
        if len({review.id for review in found}) != len(found):
            gaps.append("the list of reviews moved while it was read")
        known = {state.value for state in ReviewState}
        gaps += [f"review {item.id} has the unknown state {item.state!r}" for item in found if item.state not in known]
        return [item for item in found if item.state in known]

    def _commits(
        self, pull: PullRequest, gaps: list[str], digests: list[tuple[str, str]]
    ) -> tuple[PullRequestCommit, ...]:
        pages = self._connection.pages(
            answers.COMMITS,
            f"pulls/{pull.number}/commits",
            lambda rest, page: rest.pulls.list_commits(
                self._owner, self._name, pull.number, per_page=PER_PAGE, page=page
            ),
        )
        listed = _whole(pages, digests)
        accounts = _accounts_by_address(listed)
        commits = [self._listed_commit(item, accounts) for item in listed]
        if pull.commit_count > MOST_COMMITS:
            commits = self._with_local(pull, commits, accounts, gaps)
        elif len({commit.sha for commit in commits}) != pull.commit_count:
            gaps.append(f"the forge lists {len(commits)} of the {pull.commit_count} commits")
        if pull.head_sha not in {commit.sha for commit in commits}:
            gaps.append(f"the head {pull.head_sha} is not among the commits")
        return tuple(commits)

    def _listed_commit(self, item: CommitAnswer, accounts: Mapping[str, int]) -> PullRequestCommit:
        parents = tuple(parent.sha for parent in item.parents)
        return PullRequestCommit(
            sha=item.sha,
            parents=parents,
            author=account_of(item.author),
            committer=account_of(item.committer),
            author_email=_email(item.commit.author),
            committer_email=_email(item.commit.committer),
            trailers=self._trailers(item.commit.message, accounts),
            empty_update_merge=len(parents) > 1 and self._is_clean_update(item.sha),
        )

    def _with_local(
        self, pull: PullRequest, listed: list[PullRequestCommit], accounts: Mapping[str, int], gaps: list[str]
    ) -> list[PullRequestCommit]:
        """All commits from the mirror, with the forge's accounts where it gave them (gate 61)."""
        if self._local_commits is None:
            gaps.append(f"the forge lists {len(listed)} of the {pull.commit_count} commits, and there is no mirror")
            return listed
        try:
            local = self._local_commits(pull.base_sha, pull.head_sha)
        except NotFound as error:
            gaps.append(f"the mirror does not have the commits beyond {MOST_COMMITS}: {error}")
            return listed
        by_sha = {commit.sha: commit for commit in listed}
        if not by_sha.keys() <= {info.sha for info in local} or len(local) < pull.commit_count:
            gaps.append("the commits of the mirror are not those of the forge")
        commits = [by_sha.get(info.sha) or self._local_commit(info, accounts) for info in local]
        return commits + [commit for commit in listed if commit.sha not in {info.sha for info in local}]

    def _local_commit(self, info: CommitInfo, accounts: Mapping[str, int]) -> PullRequestCommit:
        return PullRequestCommit(
            sha=info.sha,
            parents=info.parents,
            author=None,
            committer=None,
            author_email=info.author_email,
            committer_email=info.committer_email,
            trailers=self._trailers(info.message, accounts),
            empty_update_merge=len(info.parents) > 1 and self._is_clean_update(info.sha),
        )

    def _trailers(self, message: str, accounts: Mapping[str, int]) -> tuple[tuple[str, int | None], ...]:
        return tuple((value, self._account_behind(value, accounts)) for value in trailers(message))

    def _account_behind(self, value: str, accounts: Mapping[str, int]) -> int | None:
        """The id in a noreply address, the account of the login in one, or whom the forge knows by this address from
        another commit of the pull request. None is nobody that we know, which the gate counts as one more.
        """
        address = address_of(value)
        if address is None:
            return None
        found = noreply_account(address, self._noreply_hosts)
        if isinstance(found, int):
            return found
        if found is None:
            return accounts.get(address)
        if not LOGIN.fullmatch(found):
            return None
        login = found
        try:
            account, _ = self._connection.get(
                answers.ACCOUNT, f"users/{login}", lambda rest: rest.users.get_by_username(login)
            )
        except NotFound:
            return None
        return account.id

    def _timeline(self, number: int, digests: list[tuple[str, str]]) -> tuple[TimelineEvent, ...]:
        pages = self._connection.pages(
            answers.EVENTS,
            f"issues/{number}/timeline",
            lambda rest, page: rest.issues.list_events_for_timeline(
                self._owner, self._name, number, per_page=PER_PAGE, page=page
            ),
        )
        return tuple(item.value() for item in _whole(pages, digests))

    def _permissions(
        self, reviews: tuple[Review, ...], comments: tuple[Comment, ...], digests: list[tuple[str, str]]
    ) -> tuple[Permission, ...]:
        """What each account whose review or command can decide may do now, by account id."""
        speaking = [review.account for review in reviews if review.state in DECISIVE]
        speaking += [comment.account for comment in comments if command_in(comment.body) is not None]
        logins = {account.id: account.login for account in speaking if account is not None}
        return tuple(self._permission(account, logins[account], digests) for account in sorted(logins))

    def _permission(self, account: int, login: str, digests: list[tuple[str, str]]) -> Permission:
        """`none` for a login that is no user's (Copilot's) or has come to be somebody else's (gate 3, 10)."""
        if not LOGIN.fullmatch(login):
            return Permission(account, "none")
        name = f"collaborators/{login}/permission"
        try:
            answer, digest = self._connection.get(
                answers.PERMISSION,
                name,
                lambda rest: rest.repos.get_collaborator_permission_level(self._owner, self._name, login),
            )
        except NotFound:
            return Permission(account, "none")
        digests.append((name, digest))
        if answer.user is None or answer.user.id != account:
            return Permission(account, "none", same_account=False)
        return Permission(account, answer.role_name or answer.permission)

    def _remote(self, pull: PullRequest, gaps: list[str]) -> tuple[str | None, str | None]:
        """Head and base as git itself has them. The head of a fork, or of one that is closed, is refs/pull's."""
        if self._remote_heads is None:
            gaps.append("head and base were not compared with git ls-remote")
            return None, None
        base, branch = f"refs/heads/{pull.base_ref}", f"refs/heads/{pull.head_ref}"
        own = pull.state == "open" and pull.head_repository == pull.base_repository
        head = branch if own else f"refs/pull/{pull.number}/head"
        heads = self._remote_heads((base, head))
        return heads.get(head), heads.get(base)

    def _edited(self, comment: int, body: str) -> Comment:
        name = f"issues/comments/{comment}"
        there, _ = self._connection.get(
            answers.COMMENT, name, lambda rest: rest.issues.get_comment(self._owner, self._name, comment)
        )
        if _same_text(there.body, body):
            return there.value()
        self._count_write(name)
        edited, _ = self._connection.get(
            answers.COMMENT,
            name,
            lambda rest: rest.issues.update_comment(self._owner, self._name, comment, data={"body": body}),
        )
        return edited.value()

    def _write_check_run(self, sha: str, status: StatusReport, description: str) -> None:
        name = f"commits/{sha}/check-runs"
        conclusion = CONCLUSIONS.get(status.state)
        if self._app_id is not None:
            there, _ = self._connection.get(
                answers.CHECK_RUNS,
                name,
                lambda rest: rest.checks.list_for_ref(
                    self._owner, self._name, sha, check_name=status.context, filter_="latest", per_page=PER_PAGE
                ),
            )
            wanted = (conclusion, description, self._app_id)
            # another app's run of that name is not ours, whatever it says (gate 50)
            if any(
                (run.conclusion, run.output.title, run.app.id if run.app else None) == wanted
                and (status.url is None or run.details_url == status.url)
                for run in there.check_runs
            ):
                return
        data: dict[str, Any] = {
            "name": status.context,
            "head_sha": sha,
            "status": "completed" if conclusion else "in_progress",
            "output": {"title": description, "summary": description},
        }
        if conclusion:
            data["conclusion"] = conclusion
        if status.url:
            data["details_url"] = status.url
        self._count_write(name)
        created, _ = self._connection.get(
            answers.CHECK_RUN, name, lambda rest: rest.checks.create(self._owner, self._name, **data)
        )
        self._app_id = created.app.id if created.app else None

    def _write_commit_status(self, sha: str, status: StatusReport, description: str) -> None:
        name = f"commits/{sha}/status"
        there, _ = self._connection.get(
            answers.COMBINED,
            name,
            lambda rest: rest.repos.get_combined_status_for_ref(self._owner, self._name, sha, per_page=PER_PAGE),
        )
        # the forge keeps a thousand of one name for a commit, and shows the last: saying it again only costs
        wanted = (status.context, status.state, description, status.url)
        if any((s.context, s.state, s.description or "", s.target_url or None) == wanted for s in there.statuses):
            return
        data: dict[str, Any] = {"state": status.state, "context": status.context, "description": description}
        if status.url:
            data["target_url"] = status.url
        self._count_write(name)
        self._connection.get(
            answers.ANYTHING,
            f"statuses/{sha}",
            lambda rest: rest.repos.create_commit_status(self._owner, self._name, sha, **data),
        )

    def _count_write(self, name: str) -> None:
        """Refuse for now what would be one write too many in a minute; the caller comes again."""
        now = time.monotonic()
        if len(self._written) == self._written.maxlen and now - self._written[0] < 60:
            raise Throttled(60 - (now - self._written[0]), where=name)
        self._written.append(now)


def _accounts_by_address(listed: Sequence[CommitAnswer]) -> Mapping[str, int]:
    """Which account the forge itself sees behind an address, by the commits that it attributed."""
    found: dict[str, int] = {}
    for item in listed:
        for identity, account in ((item.commit.committer, item.committer), (item.commit.author, item.author)):
            if account is not None and account.id != WEB_FLOW and (address := _email(identity)):
                found[address.lower()] = account.id
    return found


def _email(identity: IdentityAnswer | None) -> str:
    return (identity.email or "") if identity is not None else ""


def _same_text(one: str, other: str) -> bool:
    """GitHub stores a comment's line ends as they come and trims its end."""
    return one.replace("\r\n", "\n").rstrip() == other.replace("\r\n", "\n").rstrip()
