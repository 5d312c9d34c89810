"""Runs the `git` command so that neither the machine's configuration nor the repository can change what it does;
the mirror calls it for the network and for merges.

Everything that could run code or redirect us is closed (gate 44): no system, user or environment configuration, no
hooks, no replace objects, no helpers, no prompts, no redirects, no protocol but the one of the configured URL. A token
travels in an environment variable that only git itself reads, never in the arguments and never in an error.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.model.errors import ForgeUnavailable, InvalidInput, NotFound, Terminal

OLDEST = (2, 31)  # the first git that takes configuration from GIT_CONFIG_COUNT, which is where the token goes
SCHEMES = ("https", "http", "ssh")
KEPT_ERROR = 2000  # characters of git's own words that an error carries

# what the operator's environment may say: where programs and trusted certificates are, and the way out of the network
PASSED_ON = (
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSH_AUTH_SOCK",
)
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "transfer.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "http.followRedirects=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.version=2",
)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a git command ended; both texts are free of the credentials that it was given."""

    status: int
    output: bytes
    error: str


def scheme_of(url: str) -> str:
    """The git protocol of a repository URL: https, http, ssh or file (a path). InvalidInput for anything else."""
    if url.startswith("-") or "::" in url or any(ord(character) < 33 for character in url):
        raise InvalidInput(f"'{_without_credentials(url)}' is not a repository URL", where="git.url")
    if url.startswith("/"):
        return "file"
    if re.fullmatch(r"[\w.-]+@[\w.-]+:[^:]+", url):  # git@host:path
        return "ssh"
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return "file"
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise InvalidInput(
            f"'{_without_credentials(url)}' is not a repository URL; it starts with https://, http:// or ssh://",
            where="git.url",
        )
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise InvalidInput(
            f"'{_without_credentials(url)}' carries credentials; put the token in a file of its own", where="git.url"
        )
    return parts.scheme


def run_git(
    directory: Path,
    *arguments: str,
    url: str | None = None,
    token: str | None = None,
    timeout: float,
    ssh_options: Sequence[str] = (),
) -> Finished:
    """Run git in a bare repository. With `url`, its protocol is allowed and `token` is sent to it and nowhere else.

    `ssh_options` are for the ssh of an ssh URL: a key, a file of known hosts.

    Raises ForgeUnavailable after `timeout` seconds (git and all that it started are then ended), Terminal where there
    is no usable git.
    """
    _require_version()
    command = ["git", "--no-replace-objects"]
    for setting in SETTINGS:
        command += ["-c", setting]
    command += [f"--git-dir={directory}", *arguments]
    environment, secrets = _environment(directory, url, token)
    if ssh_options:
        environment = {**environment, "GIT_SSH_COMMAND": f"{environment['GIT_SSH_COMMAND']} {shlex.join(ssh_options)}"}
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # git starts helpers that would hold the pipes open when only git is killed
    )
    try:
        output, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise ForgeUnavailable(
            f"git {arguments[0]} did not finish within {timeout:g} seconds", where=url or str(directory)
        ) from None
    text = error.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "***")
        output = output.replace(secret.encode(), b"***")
    return Finished(process.returncode, output, text[-KEPT_ERROR:].strip())


def merges_in_memory() -> bool:
    """Whether this git has `merge-tree --write-tree` (2.38 and newer)."""
    return _version() >= (2, 38)


def _environment(directory: Path, url: str | None, token: str | None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The whole environment of a git process, and the strings in it that must not be seen anywhere."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {
        "HOME": str(directory),  # a home without .gitconfig, .netrc and .config
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ATTR_SOURCE": EMPTY_TREE,  # .gitattributes of the branch chooses no merge driver
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ALLOW_PROTOCOL": scheme_of(url) if url else "none",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15",
    }
    if url is None or not token or scheme_of(url) not in ("https", "http"):
        return environment, ()
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    environment |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }
    return environment, (token, basic)


def _require_version() -> None:
    if _version() < OLDEST:
        found, needed = (".".join(map(str, version)) for version in (_version(), OLDEST))
        raise Terminal(f"git {found} is too old", hint=f"install git {needed} or newer")


@cache
def _version() -> tuple[int, int]:
    try:
        text = subprocess.run(["git", "version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except FileNotFoundError:
        raise NotFound("there is no git command on this machine", hint="install git") from None
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)
