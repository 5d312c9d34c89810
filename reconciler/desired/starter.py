"""What `reconciler init` writes: a small repository that is valid at once and says in comments what to fill in.

The larger sample is desired_state/ at the root of the project; a test holds that both are read without a problem.
"""

from __future__ import annotations

from collections.abc import Mapping

_REPOSITORY = """\
# An unknown key, here or in any other file, is an error that names the nearest known one.
format: 1
deploy_branch: main                # what is merged here is what runs
"""

_PEOPLE = """\
# Who is who. `github` is the account's numeric id (`gh api users/LOGIN --jq .id`): a login can be renamed and reused.
# What is not listed here is nobody: it may open pull requests, and its approvals count for nothing.
people:
"""

_TEAM = """\
  first: {github: 1, groups: [operators]}        # fill in: the ids, and better names
  second: {github: 2, groups: [operators]}
"""

_ONE = """\
  owner: {github: 1, groups: [operators]}        # fill in: your id
"""

_AGENTS = """\

# Agents ask; they never approve. The owner is the person who stands behind what the agent does.
agents:
  deployer:
    github: 3                                    # fill in: the id of the agent's own account
    owner: %s
    scopes: [status:read, plan:read, logs:read, change:propose, rollback:propose]
    targets: ["hello/*"]
"""

_POLICY = """\
# Deny beats require beats allow. Where no rule speaks: deploy and rollback need one approval by a person other than the
# author, and everything else is denied. Read from the base branch: a pull request cannot loosen its own rules.
rules:
  - id: agents-never
    effect: deny
    who: {kind: agent}
    actions: [approve, restore, remove_host, rotate_secret, change_policy, break_glass]
    why: Agents ask; a person does these.

  - id: protected-paths
    effect: deny
    actions: ["*"]
    when: {files_any: [".env", "**/.env", "**/id_rsa", "**/id_ed25519"]}
    why: Keys and .env files do not belong into git.

  - id: one-approval
    effect: require
    actions: [deploy, rollback]
    need: {approvals: 1, from_group: operators}

  # Rules, principals and hosts change in pull requests of their own; with no rule about them, nobody could change them.
  - id: rules-need-one
    effect: require
    actions: [change_policy, change_host]
    need: {approvals: 1, from_group: operators}

  # In an emergency these persons may deploy past the gate, each signing with a key in principals.yaml; with no rule
  # about it, nobody may. `approvals: 1` is one person now, and another one's review within 24 hours.
  # - id: emergencies
  #   effect: require
  #   actions: [break_glass]
  #   need: {approvals: 2, from_group: operators}

  # Frees an environment of tier "development": whoever merges must still be a person of principals.yaml.
  # - id: development-is-free
  #   effect: require
  #   actions: [deploy, rollback]
  #   target: {tier: [development]}
  #   need: {approvals: 0}
"""

_HOST = """\
# A machine with Docker and sshd; nothing else is needed there.
address: 127.0.0.1                 # fill in
user: reconciler                   # may use the engine's socket
# Fill in: `ssh-keyscan -t ed25519 ADDRESS` prints it; compare it on the host itself. This one belongs to nobody.
host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOAD4UDP6lyTshlai2cb/bAfL48cECHGglYW7rKHlyCW
tiers: [production]                # what may run here
"""

_ENVIRONMENT = """\
hosts: [host-1]
tier: production                   # what policy rules match on; each host must admit it
variables:                         # with env_files: the only sources of ${...} in the Compose files
  PORT: "8080"
consent_delay: 30s                 # a review counts only this long after the plan was posted
drift: report                      # off | report | heal (go back to what was approved last)
"""

_SOLO = """\
agent_owner_may_approve: true      # one person stands behind the agent and the approval; each plan says so
"""

_COMPOSE = """\
# An ordinary Compose file; relative paths count from its directory.
services:
  web:
    image: busybox:1.36
    command: [httpd, -f, -p, "8080", -h, /www]
    restart: unless-stopped
    ports: ["127.0.0.1:${PORT}:8080"]
    volumes: ["./www:/www:ro"]     # a directory of this repository: shipped, and mounted read-only
"""

_PAGE = """\
<!doctype html>
<title>hello</title>
<p>Hello.</p>
"""


def starter(solo: bool) -> Mapping[str, bytes]:
    """The files of a new repository, by path. `solo` is for one person and their agents."""
    people = _PEOPLE + (_ONE if solo else _TEAM) + _AGENTS % ("owner" if solo else "first")
    files = {
        "reconciler.yaml": _REPOSITORY,
        "principals.yaml": people,
        "policy.yaml": _POLICY,
        "hosts/host-1.yaml": _HOST,
        "projects/hello/production/environment.yaml": _ENVIRONMENT + (_SOLO if solo else ""),
        "projects/hello/production/compose.yaml": _COMPOSE,
        "projects/hello/production/www/index.html": _PAGE,
    }
    return {path: text.encode() for path, text in files.items()}
