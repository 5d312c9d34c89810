"""The loop: requests in, one worker per key, backoff for what fails. Triggers only put requests."""

from __future__ import annotations

import random
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from reconciler.control import checkpoints, pipeline, queueing, remembering
from reconciler.control.parts import Parts
from reconciler.control.requests import (
    Again,
    CheckpointDue,
    Done,
    GroupRequest,
    Parked,
    Poll,
    ReconcileRequest,
    Request,
    Result,
    ResumeRequest,
    Resync,
    ReviewRequest,
)
from reconciler.model.errors import ReconcilerError, Retryable, Terminal, VerificationFailed
from reconciler.model.pull_request import PullRequest
from reconciler.model.target import EnvironmentName

WORKERS = 6
BACKOFF_BASE = 1.0  # seconds, as all here
BACKOFF_CAP = 300.0
LONGEST_ASKED_WAIT = 3600.0
STOP_WITHIN = 30.0


def handle(parts: Parts, request: Request, seen: Seen) -> tuple[Result, tuple[Request, ...]]:
    """Do what a request asks for; the result, and the requests that follow from it."""
    match request:
        case Poll():
            return Done(), poll(parts, seen)
        case Resync():
            environments = (ReconcileRequest(name) for name in pipeline.environments(parts))
            return Done(), (
                *environments,
                *map(ReviewRequest, tuple(seen.pulls)),
                *map(GroupRequest, tuple(seen.groups)),
            )
        case CheckpointDue():
            checkpoints.due(parts)
            return Done(), ()
        case ReviewRequest(number=number):
            if pipeline.review(parts, number) is None:  # landed perhaps: a fresh review of it may end a hold
                return Done(), tuple(map(ReconcileRequest, pipeline.held(parts)))
            return Done(), ()
        case GroupRequest(branch=branch):
            queueing.review(parts, branch)
            return Done(), ()
        case ReconcileRequest(environment=environment):
            return pipeline.reconcile(parts, environment).result, ()
        case ResumeRequest(deployment=deployment):
            done = pipeline.resume(parts, deployment)
            return Done(), (ReconcileRequest(EnvironmentName(done.project, done.environment)),)
        case _:
            assert_never(request)


@dataclass(slots=True)
class Seen:
    """What the last poll saw: the tip of the branch, what each open pull request was when it was last put, and the
    heads of the merge queue's groups.
    """

    tip: str = ""
    pulls: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def fingerprint(self, pull: PullRequest, tip: str) -> tuple[str, str, str]:
        return (pull.head_sha, pull.updated_at.isoformat(), tip)


def poll(parts: Parts, seen: Seen) -> tuple[Request, ...]:
    """Compare forge and mirror with what the last poll saw; only what moved becomes due.

    It counts as seen when all of it was read: what a poll that failed halfway found is found again by the next one.
    """
    parts.source.fetch()
    tip = parts.source.branch_head(parts.branch)
    pulls = {pull.number: seen.fingerprint(pull, tip) for pull in parts.forge.open_pull_requests(parts.branch)}
    environments = pipeline.environments(parts) if tip != seen.tip else ()
    moved = [number for number, now in pulls.items() if seen.pulls.get(number) != now]
    groups = dict(queueing.groups(parts))
    again = bool(moved) or tip != seen.tip  # whatever a group holds is judged as of now
    queued = [branch for branch, head in groups.items() if again or seen.groups.get(branch) != head]
    seen.tip, seen.pulls, seen.groups = tip, pulls, groups
    return (*map(ReviewRequest, moved), *map(GroupRequest, queued), *map(ReconcileRequest, environments))


def backoff(failures: int, spread: float, asked: float = 0.0) -> timedelta:
    """How long to wait after so many failures in a row (0 is the first): doubled each time, up to BACKOFF_CAP.

    `spread` from 0 to 1 takes up to half of it away, so that what failed together does not come again together.
    `asked` is what the other side wants; it counts for at most an hour, so that a wrong answer cannot stop us for long.
    """
    seconds = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(failures, 16)) * (1 - spread / 2)
    return timedelta(seconds=max(seconds, min(asked, LONGEST_ASKED_WAIT)))


class Controller:
    """Runs requests on a few threads: one at a time per key, failures again later, everything else undisturbed."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.seen = Seen()
        self._due: dict[Request, float] = {}
        self._failures: dict[Request, int] = {}
        self._running: set[Request] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers, and put what a restart has to go on with."""
        try:
            for deployment in self.parts.deployments.unfinished():
                self.put(ResumeRequest(deployment.id))
        except VerificationFailed as error:  # nothing is taken up, and every request will say so
            remembering.tampered(self.parts, error)
        self.put(Poll())
        self.put(CheckpointDue())
        for number in range(WORKERS):
            thread = threading.Thread(target=self._work, name=f"worker {number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, within: float = STOP_WITHIN) -> bool:
        """Take nothing new and wait up to `within` seconds for what runs; whether all of it ended.

        What did not is cut off when the process ends, as by a crash: its journal lets the next start go on with it.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        until = self._now() + within
        for thread in self._threads:
            thread.join(max(0.0, until - self._now()))
        return not any(thread.is_alive() for thread in self._threads)

    def put(self, request: Request, after: timedelta = timedelta(0)) -> None:
        """Make a request due; the earlier of two wishes for one key wins."""
        at = self._now() + after.total_seconds()
        with self._changed:
            self._due[request] = min(at, self._due.get(request, at))
            self._changed.notify()

    def ready(self) -> tuple[bool, str]:
        """Whether the loop runs and has what it works on: the database, and a mirror that was fetched at least once.

        A forge or a host that is down shows in the status and not here: the others go on.
        """
        alive = bool(self._threads) and all(thread.is_alive() for thread in self._threads)
        if not alive or self._stopping:
            return False, "the loop does not run"
        try:
            self.parts.states.environments()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no database
            return False, f"the database does not answer ({type(error).__name__})"
        try:
            self.parts.source.branch_head(self.parts.branch)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no mirror
            return False, f"the mirror of {self.parts.branch} is not there ({type(error).__name__})"
        return True, ""

    def _work(self) -> None:
        while True:
            request = self._take()
            if request is None:
                return
            self._finish(request, self._handle(request))

    def _take(self) -> Request | None:
        with self._changed:
            while not self._stopping:
                ready = [r for r, at in self._due.items() if r not in self._running and at <= self._now()]
                if ready:
                    request = min(ready, key=self._due.__getitem__)
                    del self._due[request]
                    self._running.add(request)
                    return request
                waiting = [at - self._now() for r, at in self._due.items() if r not in self._running]
                self._changed.wait(max(0.0, min(waiting, default=60.0)))
        return None

    def _handle(self, request: Request) -> Result:
        try:
            result, following = handle(self.parts, request, self.seen)
        except Retryable as error:
            return self._failed("request.retry", request, error, error.retry_after)
        except Terminal as error:
            if isinstance(error, VerificationFailed):
                remembering.tampered(self.parts, error)
            self.parts.progress("request.failed", {"request": str(request), "reason": str(error), "code": error.code})
            self._forgive(request)
            return Parked(str(error))
        except ReconcilerError as error:
            return self._failed("request.failed", request, error, code=error.code)
        except Exception as error:  # noqa: BLE001 - one place catches what nobody foresaw, and the loop goes on
            return self._failed("request.crashed", request, error, traceback=traceback.format_exc())
        self._forgive(request)
        for request_due in following:
            self.put(request_due)
        return result

    def _forgive(self, request: Request) -> None:
        with self._changed:
            self._failures.pop(request, None)

    def _failed(self, event: str, request: Request, error: Exception, asked: float = 0.0, **fields: object) -> Again:
        """Count the failure, say it, and wait longer than after the one before."""
        with self._changed:
            failures = self._failures.get(request, 0)
            self._failures[request] = failures + 1
        reason = str(error) if isinstance(error, ReconcilerError) else repr(error)
        after = backoff(failures, random.random(), asked)  # noqa: S311 - jitter, not a secret
        seconds = round(after.total_seconds(), 1)
        self.parts.progress(event, {"request": str(request), "reason": reason, "again_after": seconds, **fields})
        return Again(after, reason)

    def _finish(self, request: Request, result: Result) -> None:
        with self._changed:
            self._running.discard(request)
            if isinstance(result, Again):
                at = self._now() + result.after.total_seconds()
                self._due[request] = min(at, self._due.get(request, at))
            self._changed.notify_all()

    def _now(self) -> float:
        return time.monotonic()  # not the wall clock: that one may be set
