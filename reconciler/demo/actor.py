"""Somebody with an account on the forge, who does what people and agents do there: push, open, review, merge."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reconciler.demo.world import REPOSITORY, Account


class Refused(Exception):
    """The forge said no; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Actor:
    """An account at work, with its own clone below `directory`."""

    account: Account
    forge: str
    directory: Path

    def api(self, method: str, path: str, **body: Any) -> Any:
        """Call the forge's REST API below the repository; Refused when it says no."""
        answer = httpx.request(
            method,
            f"{self.forge}/api/v3/repos/{REPOSITORY}{path}",
            headers={"authorization": f"Bearer {self.account.token}", "accept": "application/vnd.github+json"},
            json=body or None,
            timeout=30,
        )
        if answer.is_error:
            raise Refused(answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def git(self, *arguments: str, check: bool = True) -> str:
        """Run git in the clone, with the account's name and token; the token is in no argument."""
        basic = base64.b64encode(f"{self.account.login}:{self.account.token}".encode()).decode()
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.clone,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_AUTHOR_NAME": self.account.login,
                "GIT_AUTHOR_EMAIL": self.account.email,
                "GIT_COMMITTER_NAME": self.account.login,
                "GIT_COMMITTER_EMAIL": self.account.email,
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self.forge}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            },
        )
        if check and done.returncode != 0:
            raise Refused(done.returncode, done.stderr.strip())
        return done.stdout.strip()

    @property
    def clone(self) -> Path:
        return self.directory / self.account.login

    def checkout(self, branch: str | None = None, *, start: str = "origin/main") -> Path:
        """Bring the clone up to date and stand on a new branch from `start` (the deploy branch by default)."""
        if not (self.clone / ".git").is_dir():
            self.clone.mkdir(parents=True, exist_ok=True)
            self.git("clone", "--quiet", f"{self.forge}/{REPOSITORY}.git", ".")
        self.git("fetch", "--quiet", "--prune", "origin")
        self.git("checkout", "--quiet", "--force", "-B", branch or "main", start)
        return self.clone

    def commit(self, message: str) -> str:
        """Commit everything in the clone; the new commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def propose(self, branch: str, title: str, edit: Callable[[Path], None], body: str = "") -> dict[str, Any]:
        """Branch, edit, commit, push, open the pull request."""
        edit(self.checkout(branch))
        self.commit(title)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        opened: dict[str, Any] = self.api("POST", "/pulls", title=title, body=body, head=branch, base="main")
        return opened

    def push(self, branch: str, message: str, edit: Callable[[Path], None], *, force: bool = False) -> str:
        """Another commit on a branch that is there already."""
        edit(self.checkout(branch, start=f"origin/{branch}"))
        sha = self.commit(message)
        self.git("push", "--quiet", *(["--force"] if force else []), "origin", f"HEAD:refs/heads/{branch}")
        return sha

    def review(self, number: int, event: str = "APPROVE", body: str = "", commit: str | None = None) -> dict[str, Any]:
        """Approve, request changes or comment."""
        fields = {"event": event, "body": body or event.lower()} | ({"commit_id": commit} if commit else {})
        made: dict[str, Any] = self.api("POST", f"/pulls/{number}/reviews", **fields)
        return made

    def merge(self, number: int, method: str = "merge") -> str:
        """Merge; the merge commit."""
        merged: dict[str, Any] = self.api("PUT", f"/pulls/{number}/merge", merge_method=method)
        return str(merged["sha"])

    def pull(self, number: int) -> dict[str, Any]:
        """The pull request as it is now."""
        found: dict[str, Any] = self.api("GET", f"/pulls/{number}")
        return found

    def statuses(self, sha: str) -> dict[str, dict[str, Any]]:
        """The newest status of each context on a commit."""
        combined = self.api("GET", f"/commits/{sha}/status")
        return {status["context"]: status for status in combined["statuses"]}

    def comment(self, number: int, body: str) -> dict[str, Any]:
        """Say something on a pull request."""
        made: dict[str, Any] = self.api("POST", f"/issues/{number}/comments", body=body)
        return made

    def comments(self, number: int) -> list[dict[str, Any]]:
        """The comments of a pull request."""
        found: list[dict[str, Any]] = self.api("GET", f"/issues/{number}/comments")
        return found
