"""Cuts what the forge and its tests need out of GitHub's published descriptions, so that no test needs a network.

    npm install @octokit/openapi@23.0.2 @octokit/webhooks-examples@7.6.1 @octokit/graphql-schema@15.26.1
    python tests/data/github/make_subset.py node_modules

writes `openapi.json` (the answers of the operations and the payloads of the webhooks below, as JSON Schema) and
`webhooks-examples.json.gz` (the example payloads) beside this script, and the types and fields below to
`reconciler/localforge/graphql/schema.graphql`. The packages are under the MIT licence, whose notices are kept in
`LICENSES.md`.
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphql

HERE = Path(__file__).parent
GRAPHQL = HERE.parents[2] / "reconciler" / "localforge" / "graphql" / "schema.graphql"

REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = (
    "GET /",
    "GET /meta",
    "GET /rate_limit",
    "GET /user",
    "GET /user/repos",
    "GET /user/{account_id}",
    "GET /users/{username}",
    *(
        f"{method} {REPOSITORY}{path}"
        for method, path in (
            ("GET", ""),
            ("GET", "/activity"),
            ("GET", "/labels"),
            ("GET", "/collaborators"),
            ("GET", "/collaborators/{username}"),
            ("GET", "/collaborators/{username}/permission"),
            ("GET", "/branches"),
            ("GET", "/branches/{branch}"),
            ("GET", "/branches/{branch}/protection"),
            ("GET", "/git/ref/{ref}"),
            ("GET", "/git/matching-refs/{ref}"),
            ("POST", "/git/refs"),
            ("PATCH", "/git/refs/{ref}"),
            ("DELETE", "/git/refs/{ref}"),
            ("GET", "/git/commits/{commit_sha}"),
            ("POST", "/git/commits"),
            ("GET", "/git/trees/{tree_sha}"),
            ("POST", "/git/trees"),
            ("GET", "/git/blobs/{file_sha}"),
            ("POST", "/git/blobs"),
            ("GET", "/compare/{basehead}"),
            ("GET", "/commits"),
            ("GET", "/commits/{ref}"),
            ("GET", "/commits/{commit_sha}/pulls"),
            ("GET", "/commits/{ref}/status"),
            ("GET", "/commits/{ref}/statuses"),
            ("GET", "/commits/{ref}/check-runs"),
            ("POST", "/statuses/{sha}"),
            ("POST", "/check-runs"),
            ("GET", "/check-runs/{check_run_id}"),
            ("PATCH", "/check-runs/{check_run_id}"),
            ("GET", "/pulls"),
            ("POST", "/pulls"),
            ("GET", "/pulls/{pull_number}"),
            ("PATCH", "/pulls/{pull_number}"),
            ("GET", "/pulls/{pull_number}/commits"),
            ("GET", "/pulls/{pull_number}/files"),
            ("GET", "/pulls/{pull_number}/merge"),
            ("PUT", "/pulls/{pull_number}/merge"),
            ("PUT", "/pulls/{pull_number}/update-branch"),
            ("GET", "/pulls/{pull_number}/comments"),
            ("GET", "/pulls/{pull_number}/requested_reviewers"),
            ("POST", "/pulls/{pull_number}/requested_reviewers"),
            ("DELETE", "/pulls/{pull_number}/requested_reviewers"),
            ("GET", "/pulls/{pull_number}/reviews"),
            ("POST", "/pulls/{pull_number}/reviews"),
            ("GET", "/pulls/{pull_number}/reviews/{review_id}"),
            ("PUT", "/pulls/{pull_number}/reviews/{review_id}"),
            ("DELETE", "/pulls/{pull_number}/reviews/{review_id}"),
            ("GET", "/pulls/{pull_number}/reviews/{review_id}/comments"),
            ("PUT", "/pulls/{pull_number}/reviews/{review_id}/dismissals"),
            ("POST", "/pulls/{pull_number}/reviews/{review_id}/events"),
            ("GET", "/issues"),
            ("POST", "/issues"),
            ("GET", "/issues/comments/{comment_id}"),
            ("PATCH", "/issues/comments/{comment_id}"),
            ("DELETE", "/issues/comments/{comment_id}"),
            ("GET", "/issues/{issue_number}"),
            ("PATCH", "/issues/{issue_number}"),
            ("GET", "/issues/{issue_number}/comments"),
            ("POST", "/issues/{issue_number}/comments"),
            ("GET", "/issues/{issue_number}/timeline"),
            ("GET", "/issues/{issue_number}/events"),
            ("GET", "/issues/{issue_number}/labels"),
            ("POST", "/issues/{issue_number}/labels"),
            ("PUT", "/issues/{issue_number}/labels"),
            ("DELETE", "/issues/{issue_number}/labels/{name}"),
            ("GET", "/hooks"),
            ("POST", "/hooks"),
            ("GET", "/hooks/{hook_id}"),
            ("DELETE", "/hooks/{hook_id}"),
            ("POST", "/hooks/{hook_id}/pings"),
            ("GET", "/hooks/{hook_id}/deliveries"),
            ("GET", "/hooks/{hook_id}/deliveries/{delivery_id}"),
            ("POST", "/hooks/{hook_id}/deliveries/{delivery_id}/attempts"),
        )
    ),
)
WEBHOOKS = (
    "ping",
    "push",
    "status",
    "check_run created",
    "check_run completed",
    *(f"issue_comment {action}" for action in ("created", "edited", "deleted")),
    *(f"pull_request_review {action}" for action in ("submitted", "edited", "dismissed")),
    *(
        f"pull_request {action}"
        for action in (
            "opened",
            "edited",
            "synchronize",
            "closed",
            "reopened",
            "converted_to_draft",
            "ready_for_review",
            "review_requested",
            "review_request_removed",
        )
    ),
)
GRAPHQL_FIELDS = {  # what gh asks for; the fields' arguments and the types of those come along
    "Query": "id node repository viewer",
    "Mutation": "addComment addPullRequestReview closePullRequest convertPullRequestToDraft createPullRequest "
    "markPullRequestReadyForReview mergePullRequest reopenPullRequest requestReviews updatePullRequest",
    "Actor": "login url avatarUrl",
    "Node": "id",
    "PageInfo": "endCursor hasNextPage hasPreviousPage startCursor",
    "User": "id login name email url avatarUrl databaseId",
    "Bot": "id login url avatarUrl databaseId",
    "Organization": "id login name url avatarUrl databaseId",
    "Team": "id name slug organization",
    "Mannequin": "id login url avatarUrl",
    "RepositoryOwner": "id login url avatarUrl",
    "Repository": "id name nameWithOwner owner description url isPrivate isFork isArchived hasIssuesEnabled "
    "hasWikiEnabled viewerPermission defaultBranchRef parent mergeCommitAllowed rebaseMergeAllowed "
    "squashMergeAllowed deleteBranchOnMerge pullRequest pullRequests ref assignableUsers labels milestones "
    "pullRequestTemplates databaseId",
    "PullRequestTemplate": "filename body",
    "Ref": "id name prefix target",
    "GitObject": "id oid",
    "Commit": "id oid messageHeadline messageBody message committedDate authoredDate authors statusCheckRollup url",
    "GitActorConnection": "nodes totalCount pageInfo",
    "GitActor": "name email user date",
    "PullRequest": "id databaseId number title body state url isDraft closed closedAt merged mergedAt mergedBy "
    "mergeCommit mergeable mergeStateStatus reviewDecision author baseRefName baseRefOid headRefName headRefOid "
    "baseRef headRef headRepository headRepositoryOwner baseRepository repository isCrossRepository "
    "maintainerCanModify additions deletions changedFiles commits files comments reviews latestReviews "
    "reviewRequests assignees labels projectCards projectItems milestone reactionGroups createdAt updatedAt "
    "autoMergeRequest",
    "AutoMergeRequest": "enabledAt",
    "PullRequestConnection": "nodes totalCount pageInfo",
    "PullRequestCommitConnection": "nodes totalCount pageInfo",
    "PullRequestCommit": "id commit",
    "PullRequestChangedFileConnection": "nodes totalCount pageInfo",
    "PullRequestChangedFile": "additions deletions path",
    "IssueCommentConnection": "nodes totalCount pageInfo",
    "IssueComment": "id author authorAssociation body createdAt updatedAt includesCreatedEdit isMinimized "
    "minimizedReason reactionGroups url viewerDidAuthor",
    "IssueCommentEdge": "cursor node",
    "PullRequestReviewConnection": "nodes totalCount pageInfo",
    "PullRequestReview": "id author authorAssociation submittedAt body state commit reactionGroups url",
    "ReviewRequestConnection": "nodes totalCount pageInfo",
    "ReviewRequest": "id requestedReviewer",
    "RequestedReviewer": "",
    "UserConnection": "nodes totalCount pageInfo",
    "LabelConnection": "nodes totalCount pageInfo",
    "Label": "id name description color",
    "MilestoneConnection": "nodes totalCount pageInfo",
    "Milestone": "id number title description dueOn",
    "ProjectCardConnection": "nodes totalCount pageInfo",
    "ProjectCard": "id project column",
    "Project": "id name",
    "ProjectColumn": "id name",
    "ProjectV2ItemConnection": "nodes totalCount pageInfo",
    "ProjectV2Item": "id project",
    "ProjectV2": "id title",
    "ReactionGroup": "content users",
    "ReactingUserConnection": "totalCount pageInfo",
    "StatusCheckRollup": "id state contexts",
    "StatusCheckRollupContextConnection": "nodes totalCount pageInfo",
    "StatusCheckRollupContext": "",
    "StatusContext": "id context state targetUrl createdAt description isRequired",
    "CheckRun": "id name checkSuite status conclusion startedAt completedAt detailsUrl isRequired",
    "CheckSuite": "id workflowRun",
    "WorkflowRun": "id workflow",
    "Workflow": "id name",
    "AddCommentPayload": "clientMutationId commentEdge",
    "AddPullRequestReviewPayload": "clientMutationId pullRequestReview",
    "ClosePullRequestPayload": "clientMutationId pullRequest",
    "ConvertPullRequestToDraftPayload": "clientMutationId pullRequest",
    "CreatePullRequestPayload": "clientMutationId pullRequest",
    "MarkPullRequestReadyForReviewPayload": "clientMutationId pullRequest",
    "MergePullRequestPayload": "clientMutationId pullRequest",
    "ReopenPullRequestPayload": "clientMutationId pullRequest",
    "RequestReviewsPayload": "clientMutationId pullRequest",
    "UpdatePullRequestPayload": "clientMutationId pullRequest",
}
LEFT_OUT = {"description", "title", "example", "examples", "deprecated", "readOnly", "default", "externalDocs"}


def json_schema(schema: Any, *, names: bool = False) -> Any:
    """OpenAPI 3.0's dialect as JSON Schema: `nullable` becomes a type. `names`: the keys are property names."""
    if isinstance(schema, list):
        return [json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: json_schema(value, names=key == "properties" and not names)
        for key, value in schema.items()
        if names or (key not in LEFT_OUT and not key.startswith("x-") and key != "nullable")
    }
    if names or schema.get("nullable") is not True:
        return kept
    if "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    if isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
        return kept
    return {"anyOf": [kept, {"type": "null"}]} if kept else kept


def reached(schema: Any, found: set[str], schemas: dict[str, Any]) -> None:
    """Adds the names of all schemas that this one refers to."""
    if isinstance(schema, list):
        for one in schema:
            reached(one, found, schemas)
    elif isinstance(schema, dict):
        name = str(schema.get("$ref", "")).removeprefix("#/components/schemas/")
        if name and name not in found and "$ref" in schema:
            found.add(name)
            reached(schemas[name], found, schemas)
        for value in schema.values():
            reached(value, found, schemas)


def subset(description: dict[str, Any], version: str) -> dict[str, Any]:
    schemas = description["components"]["schemas"]
    operations: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        method, path = operation.split(" ")
        answers = {}
        for status, response in description["paths"][path][method.lower()]["responses"].items():
            if "$ref" in response:
                response = description["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
            content = response.get("content", {})
            body = next((content[kind] for kind in content if kind.startswith("application/json")), None)
            answers[status] = json_schema(body["schema"]) if body is not None else None
        operations[operation] = answers
    webhooks = {}
    for webhook in WEBHOOKS:
        described = description["x-webhooks"][webhook.replace(" ", "-").replace("_", "-")]["post"]
        webhooks[webhook] = json_schema(described["requestBody"]["content"]["application/json"]["schema"])
    names: set[str] = set()
    reached([operations, webhooks], names, schemas)
    return {
        "source": f"@octokit/openapi {version}, MIT, see LICENSES.md",
        "operations": operations,
        "webhooks": webhooks,
        "components": {"schemas": {name: json_schema(schemas[name]) for name in sorted(names)}},
    }


def examples(packages: Path) -> bytes:
    """All payloads, {"event": [payload, …]}, without a time stamp: the same input gives the same file."""
    listed = json.loads((packages / "webhooks-examples/api.github.com/index.json").read_text())
    payloads = {one["name"]: one["examples"] for one in listed}
    return gzip.compress(json.dumps(payloads, separators=(",", ":"), sort_keys=True).encode(), 9, mtime=0)


def graphql_schema(text: str) -> str:
    """The part of GitHub's GraphQL schema that `GRAPHQL_FIELDS` names, without descriptions and directives."""
    whole = graphql.parse(text, no_location=True)
    types = {one.name.value: one for one in whole.definitions if hasattr(one, "name")}
    kept: dict[str, Any] = {}

    def keep_input(reference: Any) -> None:
        """An argument's type, with all that it is made of."""
        while not isinstance(reference, graphql.NamedTypeNode):
            reference = reference.type
        name = reference.name.value
        if name in kept or name not in types or name in graphql.specified_scalar_types:
            return
        kept[name] = _plain(types[name])
        for field in getattr(types[name], "fields", None) or ():
            keep_input(field.type)

    for name, names in GRAPHQL_FIELDS.items():
        found = _plain(types[name])
        if isinstance(found, graphql.UnionTypeDefinitionNode):
            kept[name] = found
            continue
        found = replace(
            found,
            interfaces=tuple(one for one in found.interfaces or () if one.name.value in GRAPHQL_FIELDS),
            fields=tuple(field for field in found.fields if field.name.value in names.split()),
        )
        missing = set(names.split()) - {field.name.value for field in found.fields}
        if missing:
            raise LookupError(f"{name} has no {missing}")
        kept[name] = found
        for field in found.fields:
            for argument in field.arguments or ():
                keep_input(argument.type)
            reference = field.type
            while not isinstance(reference, graphql.NamedTypeNode):
                reference = reference.type
            if reference.name.value not in GRAPHQL_FIELDS:
                if isinstance(types.get(reference.name.value), graphql.ObjectTypeDefinitionNode):
                    raise LookupError(f"{name}.{field.name.value} is a {reference.name.value}, which is not listed")
                keep_input(field.type)
    printed = (graphql.print_ast(kept[name]) for name in sorted(kept))
    return "# Cut from @octokit/graphql-schema (MIT, GitHub) by tests/data/github/make_subset.py\n\n" + "\n\n".join(
        printed
    )


def _plain(node: Any) -> Any:
    """A copy without descriptions and directives."""

    class Stripper(graphql.Visitor):
        def enter(self, node: Any, *_: Any) -> Any:
            if isinstance(node, graphql.DirectiveNode):
                return graphql.REMOVE
            if getattr(node, "description", None) is not None:
                return replace(node, description=None)
            return None

    return graphql.visit(node, Stripper())


def main(node_modules: Path) -> None:
    packages = node_modules / "@octokit"
    version = json.loads((packages / "openapi/package.json").read_text())["version"]
    description = json.loads((packages / "openapi/generated/api.github.com.json").read_text())
    text = json.dumps(subset(description, version), separators=(",", ":"), sort_keys=True)
    (HERE / "openapi.json").write_text(text + "\n")
    (HERE / "webhooks-examples.json.gz").write_bytes(examples(packages))
    schema = packages / "graphql-schema"
    notice = "Cut from @octokit/graphql-schema by tests/data/github/make_subset.py\n\n"
    notice += (schema / "LICENSE.md").read_text().strip()
    commented = "\n".join(f"# {line}".rstrip() for line in notice.splitlines())
    GRAPHQL.write_text(f"{commented}\n\n{graphql_schema((schema / 'schema.graphql').read_text())}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
