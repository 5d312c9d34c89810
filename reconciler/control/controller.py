"""The loop: requests in, one worker per key, backoff for what fails. Triggers only put requests."""

from __future__ import annotations

import random
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from reconciler.control import pipeline
from reconciler.control.parts import Parts
from reconciler.control.requests import (
    Again,
    Done,
    Parked,
    Poll,
    ReconcileRequest,
    Request,
    Result,
    ResumeRequest,
    Resync,
    ReviewRequest,
)
from reconciler.model.errors import ReconcilerError, Retryable, Terminal
from reconciler.model.pull_request import PullRequest
from reconciler.model.target import EnvironmentName

WORKERS = 6
BACKOFF_BASE = 1.0
BACKOFF_CAP = 300.0


def handle(parts: Parts, request: Request, seen: Seen) -> tuple[Result, tuple[Request, ...]]:
    """Do what a request asks for; the result, and the requests that follow from it."""
    match request:
        case Poll():
            return Done(), poll(parts, seen)
        case Resync():
            environments = (ReconcileRequest(name) for name in pipeline.environments(parts))
            return Done(), (*environments, *map(ReviewRequest, seen.pulls))
        case ReviewRequest(number=number):
            if pipeline.review(parts, number) is None:  # landed perhaps: a fresh review of it may end a hold
                return Done(), tuple(map(ReconcileRequest, pipeline.held(parts)))
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
    """What the last poll saw: the tip of the branch, and what each open pull request was when it was last put."""

    tip: str = ""
    pulls: dict[int, tuple[str, str, str]] = field(default_factory=dict)

    def fingerprint(self, pull: PullRequest, tip: str) -> tuple[str, str, str]:
        return (pull.head_sha, pull.updated_at.isoformat(), tip)


def poll(parts: Parts, seen: Seen) -> tuple[Request, ...]:
    """Compare forge and mirror with what the last poll saw; only what moved becomes due."""
    parts.source.fetch()
    tip = parts.source.branch_head(parts.branch)
    due: list[Request] = []
    open_pulls = parts.forge.open_pull_requests(parts.branch)
    for pull in open_pulls:
        now = seen.fingerprint(pull, tip)
        if seen.pulls.get(pull.number) != now:
            seen.pulls[pull.number] = now
            due.append(ReviewRequest(pull.number))
    for number in set(seen.pulls) - {pull.number for pull in open_pulls}:
        del seen.pulls[number]
    if tip != seen.tip:
        seen.tip = tip
        due.extend(ReconcileRequest(name) for name in pipeline.environments(parts))
    return tuple(due)


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
        for deployment in self.parts.deployments.unfinished():
            self.put(ResumeRequest(deployment.id))
        self.put(Poll())
        for number in range(WORKERS):
            thread = threading.Thread(target=self._work, name=f"worker {number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Take nothing new and wait for what runs."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, request: Request, after: timedelta = timedelta(0)) -> None:
        """Make a request due; the earlier of two wishes for one key wins."""
        at = self._now() + after.total_seconds()
        with self._changed:
            self._due[request] = min(at, self._due.get(request, at))
            self._changed.notify()

    def ready(self) -> tuple[bool, str]:
        """Whether the loop runs; what is down behind it shows in the status and not here."""
        alive = bool(self._threads) and all(thread.is_alive() for thread in self._threads)
        return (True, "") if alive and not self._stopping else (False, "the loop does not run")

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
        progress = self.parts.progress
        try:
            result, following = handle(self.parts, request, self.seen)
        except Retryable as error:
            progress("request.retry", {"request": str(request), "reason": str(error)})
            return Again(self._backoff(request), str(error))
        except Terminal as error:
            progress("request.failed", {"request": str(request), "reason": str(error), "code": error.code})
            return Parked(str(error))
        except ReconcilerError as error:
            progress("request.failed", {"request": str(request), "reason": str(error), "code": error.code})
            return Again(self._backoff(request), str(error))
        except Exception as error:  # noqa: BLE001 - one place catches what nobody foresaw, and the loop goes on
            progress(
                "request.crashed",
                {"request": str(request), "reason": repr(error), "traceback": traceback.format_exc()},
            )
            return Again(self._backoff(request), repr(error))
        for request_due in following:
            self.put(request_due)
        return result

    def _backoff(self, request: Request) -> timedelta:
        failures = self._failures.get(request, 0)
        seconds = min(BACKOFF_CAP, BACKOFF_BASE * 2**failures)
        return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    def _finish(self, request: Request, result: Result) -> None:
        with self._changed:
            self._running.discard(request)
            match result:
                case Again(after=after):
                    self._failures[request] = self._failures.get(request, 0) + 1
                    at = self._now() + after.total_seconds()
                    self._due[request] = min(at, self._due.get(request, at))
                case Done() | Parked():
                    self._failures.pop(request, None)
            self._changed.notify_all()

    def _now(self) -> float:
        return time.monotonic()  # not the wall clock: that one may be set
