"""The pages' handlers: signing in, lists, one pull request, and the forms on it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reconciler.localforge import access, merges, pulls, reviews
from reconciler.localforge.access import Caller
from reconciler.localforge.errors import ForgeError, forbidden, not_found
from reconciler.localforge.forge import Forge, has_role
from reconciler.localforge.mergeability import compare_base, compute
from reconciler.localforge.merges import METHODS, MergeRequest
from reconciler.localforge.pages.sessions import COOKIE, Session, Sessions
from reconciler.localforge.pages.shown import conversation, diff_lines, shown_commit, visible
from reconciler.localforge.records import CheckRun, Pull, Repository, Review, Status
from reconciler.localforge.rest.call import read_body
from reconciler.localforge.shapes.checks import latest

HERE = Path(__file__).parent
LARGEST_FORM = 256 * 1024  # bytes
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["visible"] = visible
    return environment


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a browser: who is signed in, and the form that was sent."""

    forge: Forge
    sessions: Sessions
    request: Request
    session: Session | None
    signed_in: Caller | None
    form: dict[str, str]

    @property
    def caller(self) -> Caller:
        return access.signed_in(self.signed_in)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        text = (
            _templates()
            .get_template(template)
            .render(
                user=self.signed_in.user if self.signed_in else None,
                form_key=self.session.form_key if self.session else "",
                **values,
            )
        )
        return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS)

    def repository(self) -> Repository:
        parameters = self.request.path_params
        found = access.visible_repository(self.forge, self.caller, parameters["owner"], parameters["repository"])
        access.require(self.forge, self.caller, found, "pull_requests:read")
        return found

    def pull(self, repository: Repository) -> Pull:
        found = self.forge.pull(repository, self.request.path_params["number"])
        if found is None:
            raise not_found()
        return found


View = Callable[[Visit], Response]


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303, headers=HEADERS)


def _pull_path(repository: Repository, pull: Pull) -> str:
    return f"/{repository.full_name}/pull/{pull.number}"


# signing in


def login_form(visit: Visit) -> Response:
    return visit.page("login.html", error="", next=_own_path(visit.request.query_params.get("next", "/")))


def _own_path(path: str) -> str:
    """Where to go after signing in: a path of this forge, never another site."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def log_in(visit: Visit) -> Response:
    target = _own_path(visit.form.get("next", "/"))
    try:
        caller = access.caller_of_token(visit.forge, visit.form.get("token", "").strip())
    except ForgeError:
        return visit.page("login.html", 401, error="That token is not known here.", next=target)
    response = _redirect(target)
    response.set_cookie(COOKIE, visit.sessions.open(caller), httponly=True, samesite="strict", path="/")
    return response


def log_out(visit: Visit) -> Response:
    visit.sessions.close(visit.request.cookies.get(COOKIE, ""))
    response = _redirect("/login")
    response.delete_cookie(COOKIE, path="/")
    return response


# reading


def repositories(visit: Visit) -> Response:
    forge = visit.forge
    found = []
    for one in forge.database.all(Repository):
        role = forge.role(one, visit.caller.user)
        if role != "none":
            found.append((one, role, len(forge.database.all(Pull, repository_id=one.id, state="open"))))
    return visit.page("repositories.html", repositories=found)


def pull_list(visit: Visit) -> Response:
    repository = visit.repository()
    state = visit.request.query_params.get("state", "open")
    found = visit.forge.database.all(Pull, repository_id=repository.id)
    chosen = [pull for pull in reversed(found) if state in ("all", pull.state)]
    rows = [(pull, visit.forge.user(pull.user_id)) for pull in chosen]
    clone = f"{visit.forge.base_url}/{repository.full_name}.git"
    return visit.page("pulls.html", repository=repository, state=state, rows=rows, clone=clone)


def pull_page(visit: Visit, error: str = "", status: int = 200) -> Response:
    forge, repository = visit.forge, visit.repository()
    pull = compute(forge, repository, visit.pull(repository))
    git = forge.git(repository)
    base = compare_base(git, pull)
    lines, cut = diff_lines(git.diff_text(base, pull.head_sha))
    role = forge.role(repository, visit.caller.user)
    given = [one for one in forge.database.all(Review, pull_id=pull.id) if one.submitted_at is not None]
    newest = {one.user_id: one for one in given if one.state != "COMMENTED"}
    runs = forge.database.all(CheckRun, repository_id=repository.id, head_sha=pull.head_sha)
    return visit.page(
        "pull.html",
        status,
        error=error,
        repository=repository,
        pull=pull,
        author=forge.user(pull.user_id),
        own=pull.user_id == visit.caller.user.id,
        commits=[shown_commit(commit) for commit in git.commits_between(base, pull.head_sha)],
        changes=git.changes(base, pull.head_sha),
        lines=lines,
        cut=cut,
        entries=conversation(forge, repository, pull),
        statuses=latest(forge.database.all(Status, repository_id=repository.id, sha=pull.head_sha)),
        runs=list({(one.app_id, one.name): one for one in runs}.values()),
        reviews=[(one, forge.user(one.user_id)) for one in newest.values()],
        methods=[name for name, setting in METHODS.items() if repository.settings.get(setting, True)],
        may_merge=has_role(role, "write") and visit.caller.granted("contents:write"),
    )


def pull_text(visit: Visit) -> Response:
    """`.diff` and `.patch`, where `diff_url` and `patch_url` point."""
    repository = visit.repository()
    pull, git = visit.pull(repository), visit.forge.git(repository)
    base = compare_base(git, pull)
    match visit.request.path_params["kind"]:
        case "diff":
            text = git.diff_text(base, pull.head_sha)
        case "patch":
            text = git.patch_text(base, pull.head_sha)
        case _:
            raise not_found()
    return Response(text, media_type="text/plain; charset=utf-8", headers=HEADERS)


# acting: the same actions and rights as in the API; what is reviewed and merged is the head that was shown


def review(visit: Visit) -> Response:
    repository = visit.repository()
    pull = visit.pull(repository)
    access.require(visit.forge, visit.caller, repository, "pull_requests:write")
    reviews.create_review(
        visit.forge,
        repository,
        visit.caller,
        pull,
        event=visit.form.get("event") or "COMMENT",
        body=visit.form.get("body", ""),
        commit_id=visit.form.get("head") or None,
    )
    return _redirect(_pull_path(repository, pull))


def comment(visit: Visit) -> Response:
    repository = visit.repository()
    pull = visit.pull(repository)
    access.require(visit.forge, visit.caller, repository, "issues:write", "pull_requests:write")
    pulls.add_comment(visit.forge, repository, visit.caller.user, pull, visit.form.get("body", ""))
    return _redirect(_pull_path(repository, pull))


def merge(visit: Visit) -> Response:
    repository = visit.repository()
    pull = visit.pull(repository)
    access.require(visit.forge, visit.caller, repository, "contents:write")
    head = visit.form.get("head")
    if not head:
        raise ForgeError(422, "The form does not say which commit is to be merged.")
    wanted = MergeRequest(method=visit.form.get("method", "merge"), expected_head=head)
    merges.merge_pull(visit.forge, repository, visit.caller, pull.number, wanted)
    return _redirect(_pull_path(repository, pull))


def _explained(error: ForgeError) -> str:
    texts = [one if isinstance(one, str) else str(one.get("message") or one.get("field")) for one in error.errors or ()]
    return ": ".join([error.message, *texts])


def page_routes(forge: Forge) -> list[Route]:
    sessions = Sessions()

    def handle(view: View, request: Request, form: dict[str, str]) -> Response:
        found = sessions.find(forge, request.cookies.get(COOKIE))
        session, caller = found if found is not None else (None, None)
        visit = Visit(forge, sessions, request, session, caller, form)
        if caller is None and view not in (login_form, log_in):
            return _redirect(f"/login?next={quote(request.url.path)}")
        try:
            # signing in needs no key: there is no session yet that a foreign page could use
            needs_key = request.method == "POST" and view is not log_in
            if needs_key and (session is None or not session.matches(form.get("key", ""))):
                raise forbidden("The form is out of date: load the page again.")
            return view(visit)
        except ForgeError as error:
            if request.method == "POST" and view in (review, comment, merge) and error.status != 404:
                return pull_page(visit, _explained(error), error.status)
            return visit.page("error.html", error.status, error=_explained(error))

    def endpoint(view: View) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            try:
                raw = await read_body(request, LARGEST_FORM)
            except ForgeError as error:
                return Response(error.message, status_code=error.status, headers=HEADERS)
            fields = parse_qs(raw.decode(errors="replace"), max_num_fields=20) if raw else {}
            form = {name: values[0].replace("\r\n", "\n") for name, values in fields.items()}
            return await run_in_threadpool(handle, view, request, form)

        return respond

    pull = "/{owner}/{repository}/pull/{number:int}"
    return [
        Route("/assets/style.css", _style, methods=["GET"]),
        Route("/login", endpoint(login_form), methods=["GET"]),
        Route("/login", endpoint(log_in), methods=["POST"]),
        Route("/logout", endpoint(log_out), methods=["POST"]),
        Route("/", endpoint(repositories), methods=["GET"]),
        Route("/{owner}/{repository}", endpoint(pull_list), methods=["GET"]),
        Route("/{owner}/{repository}/pulls", endpoint(pull_list), methods=["GET"]),
        Route(pull, endpoint(pull_page), methods=["GET"]),
        Route(pull + ".{kind}", endpoint(pull_text), methods=["GET"]),
        Route(pull + "/review", endpoint(review), methods=["POST"]),
        Route(pull + "/comment", endpoint(comment), methods=["POST"]),
        Route(pull + "/merge", endpoint(merge), methods=["POST"]),
    ]


async def _style(_: Request) -> Response:
    text = (HERE / "templates" / "style.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css; charset=utf-8", headers={**HEADERS, "Cache-Control": "max-age=60"})
