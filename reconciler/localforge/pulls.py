"""Opening, editing, closing, reopening and updating a pull request. The REST, GraphQL and web faces call these."""

from __future__ import annotations

from reconciler.localforge import notices, pushes, timeline
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, forbidden, invalid, invalid_field, unprocessable
from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.git_data import Person
from reconciler.localforge.records import Comment, Pull, Repository, User
from reconciler.localforge.shapes.people import simple_user

LONGEST_BODY = 65_536  # characters, GitHub's limit for descriptions and comments
LONGEST_TITLE = 256


def check_body(text: str | None, resource: str) -> None:
    if text is not None and len(text) > LONGEST_BODY:
        raise invalid_field(resource, "body", "invalid", f"body is too long (maximum is {LONGEST_BODY} characters)")


def open_pull(
    forge: Forge,
    repository: Repository,
    author: User,
    *,
    title: str,
    body: str | None,
    head: str,
    base: str,
    draft: bool = False,
) -> Pull:
    """Opens one from branch `head` (also OWNER:branch of this repository) onto branch `base`. 422 as GitHub."""
    head_ref = _own_branch(repository, head)
    if not title.strip() or len(title) > LONGEST_TITLE:
        raise invalid_field("PullRequest", "title", "missing_field" if not title.strip() else "invalid")
    check_body(body, "PullRequest")
    database = forge.database
    with forge.changing(repository) as git, database.transaction():
        head_sha, base_sha = git.branch(head_ref), git.branch(base)
        if head_sha is None:
            raise invalid_field("PullRequest", "head")
        if base_sha is None:
            raise invalid_field("PullRequest", "base")
        if git.merge_base(base_sha, head_sha) is None:
            raise invalid("PullRequest", f"The {head_ref} branch has no history in common with {base}")
        if git.is_ancestor(head_sha, base_sha):
            raise invalid("PullRequest", f"No commits between {base} and {head_ref}")
        if database.find(Pull, repository_id=repository.id, head_ref=head_ref, base_ref=base, state="open"):
            raise invalid("PullRequest", f"A pull request already exists for {repository.owner}:{head_ref}.")
        number = len(database.all(Pull, repository_id=repository.id)) + 1
        now = forge.now()
        pull = database.add(
            Pull,
            repository_id=repository.id,
            number=number,
            title=title,
            body=body,
            user_id=author.id,
            state="open",
            draft=draft,
            locked=False,
            head_ref=head_ref,
            head_sha=head_sha,
            base_ref=base,
            base_sha=base_sha,
            mergeable=None,
            test_merge_of=None,
            merge_commit_sha=None,
            merged_at=None,
            merged_by=None,
            closed_at=None,
            labels=(),
            requested_reviewers=(),
            created_at=now,
            updated_at=now,
        )
        git.set_own_ref(f"refs/pull/{number}/head", head_sha)
        timeline.record_commits(forge, git, pull, author)
        notices.pull_request(forge, repository, author, pull, "opened")
        return pull


def _own_branch(repository: Repository, head: str) -> str:
    """The branch of a `head` parameter; there are no forks here, so any other owner is invalid."""
    owner, colon, branch = head.partition(":")
    if not colon:
        return head
    if owner.lower() != repository.owner.lower():
        raise invalid_field("PullRequest", "head")
    return branch


def may_edit(forge: Forge, repository: Repository, caller: Caller, pull: Pull) -> bool:
    """The author, and everybody who can write."""
    return caller.user.id == pull.user_id or has_role(forge.role(repository, caller.user), "write")


def edit_pull(
    forge: Forge,
    repository: Repository,
    caller: Caller,
    pull: Pull,
    *,
    title: str | None = None,
    body: str | None = None,
    state: str | None = None,
    base: str | None = None,
) -> Pull:
    """Changes what is given (None leaves it); `state` closes or reopens, `base` retargets."""
    if not may_edit(forge, repository, caller, pull):
        raise forbidden("Must have write rights to Repository.")
    if state not in (None, "open", "closed"):
        raise invalid_field("PullRequest", "state")
    check_body(body, "PullRequest")
    actor = caller.user
    with forge.changing(repository) as git, forge.database.transaction():
        if title is not None and title != pull.title:
            changes = {"title": {"from": pull.title}}
            timeline.record(forge, pull, actor, "renamed", rename={"from": pull.title, "to": title})
            pull = forge.database.change(pull, title=title, updated_at=forge.now())
            notices.pull_request(forge, repository, actor, pull, "edited", changes=changes)
        if body is not None and body != pull.body:
            before = {"body": {"from": pull.body}}
            pull = forge.database.change(pull, body=body, updated_at=forge.now())
            notices.pull_request(forge, repository, actor, pull, "edited", changes=before)
        if base is not None and base != pull.base_ref:
            if pull.state == "closed":
                raise invalid("PullRequest", "Cannot change the base branch of a closed pull request.")
            tip = git.branch(base)
            if tip is None:
                raise invalid_field("PullRequest", "base")
            if git.is_ancestor(pull.head_sha, tip):
                raise invalid("PullRequest", f"There are no new commits between base branch '{base}' and head branch")
            pull = pushes.retarget(forge, repository, actor, pull, base)
        if state == "closed" and pull.state == "open":
            pull = pushes.close(forge, repository, actor, pull)
        elif state == "open" and pull.state == "closed":
            pull = _reopen(forge, repository, actor, pull)
        return pull


def _reopen(forge: Forge, repository: Repository, actor: User, pull: Pull) -> Pull:
    git = forge.git(repository)
    head = git.branch(pull.head_ref)
    if pull.merged:
        raise invalid_field("PullRequest", "state", "invalid", "state cannot be changed. The pull request was merged.")
    if head is None or git.branch(pull.base_ref) is None:
        text = f"state cannot be changed. The {pull.head_ref} branch or its base has been deleted."
        raise invalid_field("PullRequest", "state", "invalid", text)
    if not git.is_ancestor(pull.head_sha, head):
        text = f"state cannot be changed. The {pull.head_ref} branch was force-pushed or recreated."
        raise invalid_field("PullRequest", "state", "invalid", text)
    if forge.database.find(
        Pull, repository_id=repository.id, head_ref=pull.head_ref, base_ref=pull.base_ref, state="open"
    ):
        text = f"state cannot be changed. There is already an open pull request from {pull.head_ref}."
        raise invalid_field("PullRequest", "state", "invalid", text)
    reopened = forge.database.change(pull, state="open", closed_at=None, head_sha=head, updated_at=forge.now())
    git.set_own_ref(f"refs/pull/{pull.number}/head", head)
    timeline.record(forge, reopened, actor, "reopened")
    timeline.record_commits(forge, git, reopened, actor)
    notices.pull_request(forge, repository, actor, reopened, "reopened")
    return reopened


def set_draft(forge: Forge, repository: Repository, caller: Caller, pull: Pull, draft: bool) -> Pull:
    if not may_edit(forge, repository, caller, pull):
        raise forbidden("Must have write rights to Repository.")
    if pull.draft == draft:
        return pull
    with forge.database.transaction():
        changed = forge.database.change(pull, draft=draft, updated_at=forge.now())
        timeline.record(forge, changed, caller.user, "convert_to_draft" if draft else "ready_for_review")
        action = "converted_to_draft" if draft else "ready_for_review"
        notices.pull_request(forge, repository, caller.user, changed, action)
        return changed


def update_branch(forge: Forge, repository: Repository, caller: Caller, pull: Pull, expected_head: str | None) -> None:
    """Merges the base into the head ("Update branch"), written by the caller and committed by web-flow."""
    if pull.state == "closed":
        raise unprocessable("Pull request is closed")
    if not caller.may_push(pull.head_ref):
        raise forbidden()
    with forge.changing(repository) as git:
        head, base = git.branch(pull.head_ref), git.branch(pull.base_ref)
        if head is None or base is None:
            raise unprocessable("The head or the base branch is gone")
        if expected_head is not None and expected_head != head:
            raise ForgeError(422, "expected head sha didn't match current head ref.")
        if git.is_ancestor(base, head):
            raise ForgeError(422, "There are no new commits on the base branch.")
        tree = git.merged_tree(head, base)
        if tree is None:
            raise ForgeError(422, "merge conflict between base and head")
        message = f"Merge branch '{pull.base_ref}' into {pull.head_ref}"
        merge = git.create_commit(tree, [head, base], message, person_of(caller.user))
        ref = f"refs/heads/{pull.head_ref}"
        git.move(ref, merge, head)
        pushes.follow(forge, repository, git, caller.user, [pushes.Moved(ref, head, merge)])


def person_of(user: User) -> Person:
    """How an account signs commits made through the API: with its address, or the noreply one."""
    return Person(user.name or user.login, user.email or f"{user.id}+{user.login}@users.noreply.github.com")


def request_reviewers(
    forge: Forge, repository: Repository, caller: Caller, pull: Pull, logins: list[str], *, remove: bool = False
) -> Pull:
    database = forge.database
    for login in logins:
        user = database.find(User, login=login)
        if user is None or forge.role(repository, user) == "none":
            text = (
                f"Reviews may only be requested from collaborators. "
                f"One or more of the users or teams you specified is not a collaborator of the "
                f"{repository.full_name} repository."
            )
            raise ForgeError(422, text)
        if user.id == pull.user_id and not remove:
            raise ForgeError(422, "Review cannot be requested from pull request author.")
        with database.transaction():
            asked = tuple(one for one in pull.requested_reviewers if one != user.id)
            kind = "review_request_removed" if remove else "review_requested"
            pull = database.change(
                pull, requested_reviewers=asked if remove else (*asked, user.id), updated_at=forge.now()
            )
            timeline.record(forge, pull, caller.user, kind, reviewer_id=user.id)
            reviewer = simple_user(forge, user)
            notices.pull_request(forge, repository, caller.user, pull, kind, requested_reviewer=reviewer)
    return pull


def add_comment(forge: Forge, repository: Repository, author: User, pull: Pull, body: str) -> Comment:
    if not body.strip():
        raise invalid_field("IssueComment", "body", "missing_field")
    check_body(body, "IssueComment")
    now = forge.now()
    with forge.database.transaction():
        comment = forge.database.add(
            Comment,
            pull_id=pull.id,
            user_id=author.id,
            body=body,
            created_at=now,
            updated_at=now,
            last_edited_at=None,
        )
        forge.database.change(pull, updated_at=now)
        notices.comment(forge, repository, author, pull, comment, "created")
    return comment


def _check_comment_rights(forge: Forge, repository: Repository, caller: Caller, comment: Comment) -> None:
    if caller.user.id != comment.user_id and not has_role(forge.role(repository, caller.user), "write"):
        raise forbidden("Must have write rights to Repository.")


def edit_comment(
    forge: Forge, repository: Repository, caller: Caller, pull: Pull, comment: Comment, body: str
) -> Comment:
    """Own comments, or anybody's for who can write. The creation time stays, so that an edit can be seen."""
    _check_comment_rights(forge, repository, caller, comment)
    if not body.strip():
        raise invalid_field("IssueComment", "body", "missing_field")
    check_body(body, "IssueComment")
    with forge.database.transaction():
        now = forge.now()
        changed = forge.database.change(comment, body=body, updated_at=now, last_edited_at=now)
        before = {"body": {"from": comment.body}}
        notices.comment(forge, repository, caller.user, pull, changed, "edited", changes=before)
        return changed


def delete_comment(forge: Forge, repository: Repository, caller: Caller, pull: Pull, comment: Comment) -> None:
    _check_comment_rights(forge, repository, caller, comment)
    with forge.database.transaction():
        forge.database.delete(comment)
        timeline.record(forge, pull, caller.user, "comment_deleted")
        notices.comment(forge, repository, caller.user, pull, comment, "deleted")


def set_labels(forge: Forge, caller: Caller, pull: Pull, labels: tuple[str, ...]) -> Pull:
    with forge.database.transaction():
        for name in labels:
            if name not in pull.labels:
                timeline.record(forge, pull, caller.user, "labeled", label=name)
        for name in pull.labels:
            if name not in labels:
                timeline.record(forge, pull, caller.user, "unlabeled", label=name)
        return forge.database.change(pull, labels=tuple(dict.fromkeys(labels)), updated_at=forge.now())
