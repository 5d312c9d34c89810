"""The table of the REST face: method, path, handler, and the permissions of which the caller needs one.

Below /repos a route without a permission would still need a visible repository; none is without. The order matters
where a path parameter may hold slashes.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.routing import Route as StarletteRoute

from reconciler.localforge.errors import not_found
from reconciler.localforge.forge import Forge
from reconciler.localforge.rest import checks, git, hooks, issues, pulls, repositories
from reconciler.localforge.rest.call import Answer, Call, Handler, endpoint

REPOSITORY = "/repos/{owner}/{repository}"
METADATA = ("metadata:read",)
READ_CODE, WRITE_CODE = ("contents:read",), ("contents:write",)
READ_PULLS, WRITE_PULLS = ("pull_requests:read",), ("pull_requests:write",)
READ_ISSUES, WRITE_ISSUES = ("issues:read", "pull_requests:read"), ("issues:write", "pull_requests:write")
READ_STATUSES, WRITE_STATUSES = ("statuses:read",), ("statuses:write",)
READ_CHECKS, WRITE_CHECKS = ("checks:read",), ("checks:write",)
HOOKS = ("webhooks:write",)


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    handler: Handler
    permissions: tuple[str, ...]


def _repository_route(method: str, path: str, handler: Handler, permissions: tuple[str, ...]) -> Route:
    return Route(method, REPOSITORY + path, handler, permissions)


_r = _repository_route

ROUTES = (
    Route("GET", "/", repositories.root, ()),
    Route("GET", "/meta", repositories.meta, ()),
    Route("GET", "/rate_limit", repositories.rate_limit, ()),
    Route("GET", "/user", repositories.current_user, METADATA),
    Route("GET", "/user/repos", repositories.user_repositories, METADATA),
    Route("GET", "/user/{user_id}", repositories.user_by_id, METADATA),
    Route("GET", "/users/{login}", repositories.user_by_login, METADATA),
    _r("GET", "", repositories.repository, METADATA),
    _r("GET", "/activity", repositories.list_activity, READ_CODE),
    _r("GET", "/labels", repositories.list_labels, READ_ISSUES),
    _r("GET", "/collaborators", repositories.list_collaborators, METADATA),
    _r("GET", "/collaborators/{login}", repositories.is_collaborator, METADATA),
    _r("GET", "/collaborators/{login}/permission", repositories.collaborator_permission, METADATA),
    _r("GET", "/branches", git.list_branches, READ_CODE),
    _r("GET", "/branches/{branch:path}/protection", git.branch_protection, READ_CODE),
    _r("GET", "/branches/{branch:path}", git.branch, READ_CODE),
    _r("GET", "/git/ref/{ref:path}", git.ref, READ_CODE),
    _r("GET", "/git/matching-refs/{ref:path}", git.matching_refs, READ_CODE),
    _r("POST", "/git/refs", git.create_ref, WRITE_CODE),
    _r("PATCH", "/git/refs/{ref:path}", git.update_ref, WRITE_CODE),
    _r("DELETE", "/git/refs/{ref:path}", git.delete_ref, WRITE_CODE),
    _r("GET", "/git/commits/{sha}", git.get_git_commit, READ_CODE),
    _r("POST", "/git/commits", git.create_git_commit, WRITE_CODE),
    _r("GET", "/git/trees/{sha:path}", git.get_tree, READ_CODE),
    _r("POST", "/git/trees", git.create_tree, WRITE_CODE),
    _r("GET", "/git/blobs/{sha}", git.get_blob, READ_CODE),
    _r("POST", "/git/blobs", git.create_blob, WRITE_CODE),
    _r("GET", "/compare/{basehead:path}", git.compare, READ_CODE),
    _r("GET", "/commits", git.list_commits, READ_CODE),
    _r("GET", "/commits/{sha}/pulls", git.commit_pulls, READ_PULLS),
    _r("GET", "/commits/{ref:path}/status", checks.get_combined_status, READ_STATUSES),
    _r("GET", "/commits/{ref:path}/statuses", checks.list_statuses, READ_STATUSES),
    _r("GET", "/commits/{ref:path}/check-runs", checks.list_check_runs, READ_CHECKS),
    _r("GET", "/commits/{ref:path}", git.commit, READ_CODE),
    _r("POST", "/statuses/{sha}", checks.create_status, WRITE_STATUSES),
    _r("POST", "/check-runs", checks.create_check_run, WRITE_CHECKS),
    _r("GET", "/check-runs/{check_run_id}", checks.get_check_run, READ_CHECKS),
    _r("PATCH", "/check-runs/{check_run_id}", checks.update_check_run, WRITE_CHECKS),
    _r("GET", "/pulls", pulls.list_pulls, READ_PULLS),
    _r("POST", "/pulls", pulls.create_pull, WRITE_PULLS),
    _r("GET", "/pulls/{number}", pulls.get_pull, READ_PULLS),
    _r("PATCH", "/pulls/{number}", pulls.update_pull, WRITE_PULLS),
    _r("GET", "/pulls/{number}/commits", pulls.list_commits, READ_PULLS),
    _r("GET", "/pulls/{number}/files", pulls.list_files, READ_PULLS),
    _r("GET", "/pulls/{number}/merge", pulls.is_merged, READ_PULLS),
    _r("PUT", "/pulls/{number}/merge", pulls.merge, WRITE_CODE),
    _r("PUT", "/pulls/{number}/update-branch", pulls.update_branch, WRITE_CODE),
    _r("GET", "/pulls/{number}/comments", pulls.list_review_comments, READ_PULLS),
    _r("GET", "/pulls/{number}/requested_reviewers", pulls.requested_reviewers, READ_PULLS),
    _r("POST", "/pulls/{number}/requested_reviewers", pulls.request_reviewers, WRITE_PULLS),
    _r("DELETE", "/pulls/{number}/requested_reviewers", pulls.remove_reviewers, WRITE_PULLS),
    _r("GET", "/pulls/{number}/reviews", pulls.list_reviews, READ_PULLS),
    _r("POST", "/pulls/{number}/reviews", pulls.create_review, WRITE_PULLS),
    _r("GET", "/pulls/{number}/reviews/{review_id}", pulls.get_review, READ_PULLS),
    _r("PUT", "/pulls/{number}/reviews/{review_id}", pulls.update_review, WRITE_PULLS),
    _r("DELETE", "/pulls/{number}/reviews/{review_id}", pulls.delete_review, WRITE_PULLS),
    _r("GET", "/pulls/{number}/reviews/{review_id}/comments", pulls.list_review_comments, READ_PULLS),
    _r("PUT", "/pulls/{number}/reviews/{review_id}/dismissals", pulls.dismiss_review, WRITE_PULLS),
    _r("POST", "/pulls/{number}/reviews/{review_id}/events", pulls.submit_review, WRITE_PULLS),
    _r("GET", "/issues", issues.list_issues, READ_ISSUES),
    _r("POST", "/issues", issues.create_issue, WRITE_ISSUES),
    _r("GET", "/issues/comments/{comment_id}", issues.get_comment, READ_ISSUES),
    _r("PATCH", "/issues/comments/{comment_id}", issues.update_comment, WRITE_ISSUES),
    _r("DELETE", "/issues/comments/{comment_id}", issues.delete_comment, WRITE_ISSUES),
    _r("GET", "/issues/{number}", issues.get_issue, READ_ISSUES),
    _r("PATCH", "/issues/{number}", issues.update_issue, WRITE_ISSUES),
    _r("GET", "/issues/{number}/comments", issues.list_comments, READ_ISSUES),
    _r("POST", "/issues/{number}/comments", issues.create_comment, WRITE_ISSUES),
    _r("GET", "/issues/{number}/timeline", issues.list_timeline, READ_ISSUES),
    _r("GET", "/issues/{number}/events", issues.list_events, READ_ISSUES),
    _r("GET", "/issues/{number}/labels", issues.list_issue_labels, READ_ISSUES),
    _r("POST", "/issues/{number}/labels", issues.add_labels, WRITE_ISSUES),
    _r("PUT", "/issues/{number}/labels", issues.set_labels, WRITE_ISSUES),
    _r("DELETE", "/issues/{number}/labels/{name}", issues.remove_label, WRITE_ISSUES),
    _r("GET", "/hooks", hooks.list_hooks, HOOKS),
    _r("POST", "/hooks", hooks.create_hook, HOOKS),
    _r("GET", "/hooks/{hook_id}", hooks.get_hook, HOOKS),
    _r("DELETE", "/hooks/{hook_id}", hooks.delete_hook, HOOKS),
    _r("POST", "/hooks/{hook_id}/pings", hooks.ping_hook, HOOKS),
    _r("GET", "/hooks/{hook_id}/deliveries", hooks.list_deliveries, HOOKS),
    _r("GET", "/hooks/{hook_id}/deliveries/{delivery_id}", hooks.get_delivery, HOOKS),
    _r("POST", "/hooks/{hook_id}/deliveries/{delivery_id}/attempts", hooks.redeliver, HOOKS),
)  # fmt: skip


def _unknown(_: Call) -> Answer:
    raise not_found()


def rest_routes(forge: Forge) -> list[StarletteRoute]:
    """Starlette's routes, without the /api/v3 prefix; anything else is GitHub's 404."""
    found = [
        StarletteRoute(route.path, endpoint(forge, route.handler, route.permissions), methods=[route.method])
        for route in ROUTES
    ]
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [*found, StarletteRoute("/{rest:path}", endpoint(forge, _unknown, ()), methods=methods)]
