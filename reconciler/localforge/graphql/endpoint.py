"""POST /api/graphql: parses, validates and executes a document, and answers in GitHub's form."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import graphql
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.localforge import access
from reconciler.localforge.errors import ForgeError
from reconciler.localforge.forge import Forge
from reconciler.localforge.graphql.mutations import MUTATIONS, find_comment, find_pull, find_review
from reconciler.localforge.graphql.objects import (
    Viewer,
    account,
    comment_object,
    pull_object,
    repository_object,
    review_object,
)
from reconciler.localforge.rest.call import error_response, parsed_json, read_body, standard_headers
from reconciler.localforge.shapes.people import key_of_node_id

JSON = dict[str, Any]
LARGEST_REQUEST = 1024 * 1024  # bytes
MOST_NODES = 100  # asked for by id at once
MOST_TOKENS = 5000  # of a document; gh's longest has about 700
ERROR_TYPES = {401: "FORBIDDEN", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "STALE_DATA"}


@functools.cache
def schema() -> graphql.GraphQLSchema:
    text = (Path(__file__).parent / "schema.graphql").read_text(encoding="utf-8")
    return graphql.build_schema(text)


async def graphql_endpoint(forge: Forge, request: Request) -> Response:
    try:
        raw = await read_body(request, LARGEST_REQUEST)
        header = request.headers.get("authorization")
        answer = await run_in_threadpool(_execute, forge, header, raw)
    except ForgeError as error:
        return error_response(error)
    return JSONResponse(answer, headers=standard_headers())


def _execute(forge: Forge, authorization: str | None, raw: bytes) -> JSON:
    caller = access.signed_in(access.caller_of_header(forge, authorization))
    try:
        body = parsed_json(raw)
        query, variables = body["query"], body.get("variables") or {}
        name = body.get("operationName") or None
    except (TypeError, KeyError, AttributeError):
        raise ForgeError(400, "Problems parsing JSON: an object with a query is needed") from None
    if not isinstance(query, str) or not isinstance(variables, dict) or not isinstance(name, str | None):
        raise ForgeError(400, "query is a text, variables is an object")
    try:
        document = graphql.parse(query, max_tokens=MOST_TOKENS)
    except (graphql.GraphQLSyntaxError, RecursionError) as error:
        return {"errors": [{"message": str(error)}]}
    faults = graphql.validate(schema(), document)
    if faults:
        return {"errors": [_error(fault) for fault in faults]}
    result = graphql.execute_sync(
        schema(), document, root_value=_root(Viewer(forge, caller)), variable_values=variables, operation_name=name
    )
    answer: JSON = {"data": result.data}
    if result.errors:
        answer["errors"] = [_error(error) for error in result.errors]
    return answer


def _error(error: graphql.GraphQLError) -> JSON:
    """GitHub's form: `type` beside the message. What we did not foresee is named, never shown."""
    found: JSON = {"message": error.message}
    original = error.original_error
    if isinstance(original, ForgeError):
        found["type"] = ERROR_TYPES.get(original.status, "UNPROCESSABLE")
        found["message"] = _text(original)
    elif original is not None and not isinstance(original, graphql.GraphQLError):
        found["message"] = f"Something went wrong while executing your query ({type(original).__name__})."
    if error.path:
        found["path"] = list(error.path)
    if error.locations:
        found["locations"] = [{"line": one.line, "column": one.column} for one in error.locations]
    return found


def _text(error: ForgeError) -> str:
    """The texts of GitHub's validation errors instead of the bare "Validation Failed"."""
    texts = []
    for one in error.errors or ():
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, dict):
            texts.append(one.get("message") or f"{one.get('field')} {one.get('code')}")
    return ", ".join(texts) or error.message


def _root(viewer: Viewer) -> JSON:
    forge = viewer.forge

    def repository(_: Any, owner: str, name: str, **__: Any) -> JSON:
        try:
            found = access.visible_repository(forge, viewer.caller, owner, name)
        except ForgeError:
            raise ForgeError(404, f"Could not resolve to a Repository with the name '{owner}/{name}'.") from None
        return repository_object(viewer, found)

    def node(_: Any, id: str) -> JSON | None:  # noqa: A002 (GitHub's name)
        if key_of_node_id(id, "PullRequest") is not None:
            return pull_object(viewer, *find_pull(viewer, id, "pull_requests:read"))
        if key_of_node_id(id, "IssueComment") is not None:
            return comment_object(viewer, *find_comment(viewer, id))
        if key_of_node_id(id, "PullRequestReview") is not None:
            return review_object(viewer, *find_review(viewer, id))
        raise ForgeError(404, f"Could not resolve to a node with the global id of '{id}'.")

    def nodes(_: Any, ids: list[str]) -> list[JSON | None]:
        if len(ids) > MOST_NODES:
            raise ForgeError(422, f"You may not provide more than {MOST_NODES} node ids; you provided {len(ids)}.")
        return [node(_, one) for one in ids]

    def mutation(name: str) -> Any:
        def run(_: Any, input: JSON) -> JSON:  # noqa: A002 (GitHub's name)
            return {"clientMutationId": input.get("clientMutationId"), **MUTATIONS[name](viewer, input)}

        return run

    return {
        "id": "query",
        "viewer": account(forge, viewer.caller.user),
        "repository": repository,
        "node": node,
        "nodes": nodes,
        **{name: mutation(name) for name in MUTATIONS},
    }
