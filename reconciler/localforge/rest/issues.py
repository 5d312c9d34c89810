"""Handlers for what GitHub keeps on the issue side of a pull request: comments, timeline, labels."""

from __future__ import annotations

from reconciler.localforge import pulls, timeline
from reconciler.localforge.errors import ForgeError, invalid_field, not_found
from reconciler.localforge.records import Comment, Event, Pull
from reconciler.localforge.rest.call import Answer, Call
from reconciler.localforge.shapes.pulls import comment_shape, event_shape, issue_shape, label_shape


def list_issues(call: Call) -> Answer:
    state = call.query.get("state", "open")
    if state not in ("open", "closed", "all"):
        raise invalid_field("Issue", "state")
    found = call.forge.database.all(Pull, repository_id=call.repository.id)
    found = [pull for pull in reversed(found) if state in ("all", pull.state)]
    return call.listed(found, lambda pull: issue_shape(call.forge, call.repository, pull))


def create_issue(_: Call) -> Answer:
    raise ForgeError(410, "Issues are disabled for this repo")


def get_issue(call: Call) -> Answer:
    return Answer(issue_shape(call.forge, call.repository, call.pull()))


def update_issue(call: Call) -> Answer:
    changed = pulls.edit_pull(
        call.forge,
        call.repository,
        call.caller,
        call.pull(),
        title=call.text("title", "Issue"),
        body=call.text("body", "Issue"),
        state=call.text("state", "Issue"),
    )
    return Answer(issue_shape(call.forge, call.repository, changed))


def list_comments(call: Call) -> Answer:
    pull, since = call.pull(), call.query.get("since", "")
    found = [one for one in call.forge.database.all(Comment, pull_id=pull.id) if one.updated_at >= since]
    return call.listed(found, lambda one: comment_shape(call.forge, call.repository, pull, one))


def create_comment(call: Call) -> Answer:
    pull = call.pull()
    body = call.required("body", "IssueComment")
    comment = pulls.add_comment(call.forge, call.repository, call.caller.user, pull, body)
    shape = comment_shape(call.forge, call.repository, pull, comment)
    return Answer(shape, status=201, headers={"Location": shape["url"]})


def _comment(call: Call) -> tuple[Pull, Comment]:
    """A comment and its pull request; 404 when it belongs to another repository."""
    comment = call.forge.database.find(Comment, id=call.number("comment_id"))
    pull = call.forge.database.find(Pull, id=comment.pull_id) if comment is not None else None
    if comment is None or pull is None or pull.repository_id != call.repository.id:
        raise not_found()
    return pull, comment


def get_comment(call: Call) -> Answer:
    return Answer(comment_shape(call.forge, call.repository, *_comment(call)))


def update_comment(call: Call) -> Answer:
    pull, comment = _comment(call)
    body = call.required("body", "IssueComment")
    changed = pulls.edit_comment(call.forge, call.repository, call.caller, pull, comment, body)
    return Answer(comment_shape(call.forge, call.repository, pull, changed))


def delete_comment(call: Call) -> Answer:
    pull, comment = _comment(call)
    pulls.delete_comment(call.forge, call.repository, call.caller, pull, comment)
    return Answer(status=204)


def list_timeline(call: Call) -> Answer:
    return call.listed(timeline.timeline(call.forge, call.repository, call.pull()))


def list_events(call: Call) -> Answer:
    events = [one for one in call.forge.database.all(Event, pull_id=call.pull().id) if one.kind != "committed"]
    return call.listed(events, lambda one: event_shape(call.forge, call.repository, one))


def _labels(call: Call, pull: Pull) -> Answer:
    return call.listed(pull.labels, lambda name: label_shape(call.forge, call.repository, name))


def list_issue_labels(call: Call) -> Answer:
    return _labels(call, call.pull())


def add_labels(call: Call) -> Answer:
    pull = call.pull()
    wanted = (*pull.labels, *call.texts("labels", "Label"))
    return _labels(call, pulls.set_labels(call.forge, call.caller, pull, wanted))


def set_labels(call: Call) -> Answer:
    wanted = tuple(call.texts("labels", "Label"))
    return _labels(call, pulls.set_labels(call.forge, call.caller, call.pull(), wanted))


def remove_label(call: Call) -> Answer:
    pull, name = call.pull(), call.parameters["name"]
    if name not in pull.labels:
        raise ForgeError(404, "Label does not exist")
    left = tuple(one for one in pull.labels if one != name)
    return _labels(call, pulls.set_labels(call.forge, call.caller, pull, left))
