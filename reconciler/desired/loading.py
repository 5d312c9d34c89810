"""`load`: a whole repository read and cross-checked, all its problems at once. Called by control and cli."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.desired.env_files import read_env_file
from reconciler.desired.execution import OUTSIDE
from reconciler.desired.files import (
    NAME,
    AdoptionFile,
    Choices,
    EnvironmentFile,
    HostFile,
    PolicyFile,
    PrincipalsFile,
    ProjectFile,
    RepositoryFile,
    RuleFile,
)
from reconciler.desired.visibility import visibility_problems
from reconciler.documents import ReadFile, kind_problems, nearest, read_file, read_node
from reconciler.model.canonical import digest_bytes
from reconciler.model.desired import (
    Adoption,
    Consent,
    DesiredState,
    DriftMode,
    EnvironmentSpec,
    HealthPolicy,
    HostSpec,
    Rollout,
    Window,
)
from reconciler.model.errors import InvalidInput
from reconciler.model.location import Location, Problem
from reconciler.model.policy import Effect, Need, Policy, Rule, TargetMatch, Waiver, When, Who
from reconciler.model.principal import Agent, Person, Principals
from reconciler.model.revision import FileKind, Tree
from reconciler.model.target import EnvironmentName

REPOSITORY, PRINCIPALS, POLICY = "reconciler.yaml", "principals.yaml", "policy.yaml"
ADOPTIONS = "operations/adopt-"
_HOST = re.compile(r"hosts/([^/]+)\.yaml\Z")
_PROJECT = re.compile(r"projects/([^/]+)/project\.yaml\Z")
_ENVIRONMENT = re.compile(r"projects/([^/]+)/([^/]+)/environment\.yaml\Z")
_NEAR_MISSES = (
    (re.compile(r"(reconciler|principals|policy)\.yml\Z"), "call it .yaml"),
    (re.compile(r"hosts/[^/]+\.yml\Z"), "call it .yaml"),
    (re.compile(r"projects/[^/]+/(project|environment)\.yml\Z"), "call it .yaml"),
    (re.compile(r"projects/[^/]+/[^/]+/environment\.yml\Z"), "call it environment.yaml"),
    (re.compile(r"projects/[^/]+/environment\.yaml\Z"), "put it at projects/<project>/<environment>/environment.yaml"),
)
_GATED = ("hosts", "projects", "operations", REPOSITORY, PRINCIPALS, POLICY)


_NOT_YET = (
    ("on_failure", "restore"),
    ("when_unreachable", "last-known"),
)
"""What the format has and this version does not do: refused, because ignoring it would be worse."""


def load(tree: Tree) -> DesiredState:
    """Read a desired-state repository.

    Raises InvalidInput that carries every problem of every file, with file, line and what to do.
    """
    problems = kind_problems(tree, _GATED)
    problems += [
        Problem(Location(path), "is not read under this name", hint)
        for path in sorted(tree.files)
        for pattern, hint in _NEAR_MISSES
        if pattern.match(path)
    ]
    problems += [
        Problem(Location(path), "operations are not carried out by this version", "remove the file")
        for path in sorted(tree.files)
        if path.startswith("operations/") and path.endswith((".yaml", ".yml")) and not path.startswith(ADOPTIONS)
    ]
    repository = read_file(tree, REPOSITORY, RepositoryFile, problems)
    principals = _principals(tree, problems)
    policy = _policy(tree, principals, problems)
    hosts = _hosts(tree, problems)
    _projects(tree, principals, problems)
    defaults = repository.model.defaults if repository else Choices()
    environments = _environments(tree, hosts, defaults, problems)
    adoptions = _adoptions(tree, problems)
    _unique_projects(environments, hosts, problems)
    problems += visibility_problems(tree, _GATED, _files_read(tree, environments))
    if problems or repository is None or principals is None or policy is None:
        count = len(set(problems))
        text = f"the desired state has {count} problem{'' if count == 1 else 's'}"
        raise InvalidInput(text, tuple(sorted(set(problems), key=_place)))
    return DesiredState(
        repository.model.deploy_branch,
        tuple(host for host in hosts.values() if host),
        principals,
        policy,
        tuple(environments),
        adoptions,
    )


def _files_read(tree: Tree, environments: Sequence[EnvironmentSpec]) -> set[str]:
    """The files that are read here, and not only mounted: our own, Compose files, env files."""
    own = {path for path in tree.files if path in (REPOSITORY, PRINCIPALS, POLICY)}
    for pattern in (_HOST, _PROJECT, _ENVIRONMENT):
        own |= {path for path, _ in _matches(tree, pattern)}
    own |= {path for path in tree.files if path.startswith(ADOPTIONS)}
    return own | {file for each in environments for file in (*each.compose, *each.env_files)}


def adoption_path(commit: str) -> str:
    """Where the adoption of a commit stands."""
    return f"{ADOPTIONS}{commit}.yaml"


def _adoptions(tree: Tree, problems: list[Problem]) -> tuple[Adoption, ...]:
    found = []
    for path in sorted(path for path in tree.files if path.startswith(ADOPTIONS)):
        read = read_file(tree, path, AdoptionFile, problems)
        if read is None:
            continue
        model = read.model
        if path != adoption_path(model.adopt):
            problems.append(
                Problem(
                    read.at("adopt"), "is not the commit of the file's name", f"call it {adoption_path(model.adopt)}"
                )
            )
        names = tuple(sorted({EnvironmentName.parse(name) for name in model.environments or ()}))
        found.append(Adoption(model.adopt, model.why, names, Location(path)))
    return tuple(found)


def _place(problem: Problem) -> tuple[str, int, str]:
    return problem.location.file, problem.location.line or 0, problem.text


def _matches(tree: Tree, pattern: re.Pattern[str]) -> list[tuple[str, tuple[str, ...]]]:
    return [(path, found.groups()) for path in sorted(tree.files) if (found := pattern.match(path))]


def _principals(tree: Tree, problems: list[Problem]) -> Principals | None:
    read = read_file(tree, PRINCIPALS, PrincipalsFile, problems)
    if read is None:
        return None
    people = tuple(
        Person(name, tuple(sorted(each.github)), tuple(sorted(set(each.groups))), tuple(each.signing_keys))
        for name, each in sorted(read.model.people.items())
    )
    agents = tuple(
        Agent(name, tuple(sorted(each.github)), each.owner, tuple(sorted(set(each.scopes))), tuple(each.targets))
        for name, each in sorted(read.model.agents.items())
    )
    for agent in agents:
        if agent.owner not in read.model.people:
            problems.append(
                Problem(
                    read.at("agents", agent.name, "owner"),
                    f"the owner '{agent.owner}' of agent '{agent.name}' is not among the people",
                    nearest(agent.owner, read.model.people),
                )
            )
        if agent.name in read.model.people:
            problems.append(Problem(read.at("agents", agent.name), f"'{agent.name}' is a person and an agent"))
    claims = [("people", person.name, account) for person in people for account in person.accounts]
    claims += [("agents", agent.name, account) for agent in agents for account in agent.accounts]
    owners: dict[int, str] = {}
    for section, name, account in claims:
        if account in owners:
            said = f"account {account} belongs to '{owners[account]}' already"
            problems.append(Problem(read.at(section, name, "github"), said, "an account belongs to one principal"))
        owners.setdefault(account, name)
    return Principals(people, agents)


def _policy(tree: Tree, principals: Principals | None, problems: list[Problem]) -> Policy | None:
    read = read_file(tree, POLICY, PolicyFile, problems)
    if read is None:
        return None
    seen: dict[str, int] = {}
    rules = []
    for index, rule in enumerate(read.model.rules):
        if rule.id in seen:
            said = f"the rule id '{rule.id}' is there twice (first as rule {seen[rule.id] + 1})"
            problems.append(Problem(read.at("rules", index, "id"), said, "give each rule its own id"))
        seen.setdefault(rule.id, index)
        problems.extend(_rule_problems(read, index, rule, principals))
        rules.append(_rule(rule, read.at("rules", index)))
    return Policy(tuple(rules), digest_bytes(tree.files[POLICY].content))


def _rule_problems(
    read: ReadFile[PolicyFile], index: int, rule: RuleFile, principals: Principals | None
) -> list[Problem]:
    place = read.at("rules", index)
    if rule.effect == "require" and rule.need is None:
        return [Problem(place, f"the rule '{rule.id}' requires, but has no 'need'", "add need: {approvals: 1}")]
    found = []
    if rule.effect != "require" and rule.need is not None:
        found.append(Problem(place, f"the rule '{rule.id}' has a 'need', but its effect is {rule.effect}"))
    if principals is None:
        return found
    groups = sorted({group for person in principals.people for group in person.groups})
    for group in rule.who.group:
        if group not in groups:
            where = read.at("rules", index, "who", "group")
            found.append(Problem(where, f"nobody is in the group '{group}'", nearest(group, groups)))
    need = rule.need
    if need and need.from_group is not None:
        where = read.at("rules", index, "need", "from_group")
        members = len(principals.members(need.from_group))
        if members == 0:
            said = f"nobody is in the group '{need.from_group}'"
            found.append(Problem(where, said, nearest(need.from_group, groups)))
        elif members < need.approvals:
            people = "1 person" if members == 1 else f"{members} people"
            said = f"the rule asks for {need.approvals} approvals, the group '{need.from_group}' has {people}"
            found.append(Problem(where, said, "a quorum that nobody can reach locks everybody out"))
    elif need and need.approvals > len(principals.people):
        said = f"the rule asks for {need.approvals} approvals, there are {len(principals.people)} people"
        found.append(Problem(read.at("rules", index, "need"), said))
    return found


def _rule(rule: RuleFile, place: Location) -> Rule:
    when = rule.when
    return Rule(
        id=rule.id,
        effect=Effect(rule.effect),
        actions=tuple(rule.actions),
        who=Who(rule.who.kind, tuple(rule.who.group)),
        target=TargetMatch(tuple(rule.target.tier), tuple(rule.target.environment), tuple(rule.target.host)),
        when=When(
            files_any=tuple(when.files_any or ()),
            files_over=when.files_over,
            hosts_over=when.hosts_over,
            image_outside=tuple(when.image_outside or ()),
            destroys_data=when.destroys_data,
            privileged=when.privileged,
            image_unpinned=when.image_unpinned,
            removes_over=when.removes_over,
        ),
        need=Need(rule.need.approvals, rule.need.from_group) if rule.need else None,
        why=rule.why,
        location=place,
    )


def _hosts(tree: Tree, problems: list[Problem]) -> dict[str, HostSpec | None]:
    """Hosts by name; None for one whose file cannot be read, so that nothing else complains about its absence."""
    hosts: dict[str, HostSpec | None] = {}
    reads: dict[str, ReadFile[HostFile]] = {}
    for path, (name,) in _matches(tree, _HOST):
        _check_name(path, "host", name, r"[a-z0-9][a-z0-9._-]*", problems)
        read = read_file(tree, path, HostFile, problems)
        hosts[name] = _host(name, read) if read else None
        if read:
            reads[name] = read
            if read.model.host_key is None and read.model.host_ca is None:
                hint = "pin the host's key; `ssh-keyscan` shows it, compare it on the host itself"
                problems.append(Problem(Location(path), "'host_key' is missing", hint))
    for name, read in reads.items():
        via = read.model.via
        if via is not None and via not in hosts:
            problems.append(Problem(read.at("via"), f"there is no host '{via}'", nearest(via, hosts)))
        chain = [name]
        while via is not None and via in reads:
            if via in chain:
                if via == name:
                    said = f"the jump hosts go round in a circle: {' -> '.join([*chain, via])}"
                    problems.append(Problem(read.at("via"), said))
                break
            chain.append(via)
            via = reads[via].model.via
    return hosts


def _host(name: str, read: ReadFile[HostFile]) -> HostSpec:
    spec = read.model
    return HostSpec(
        name=name,
        address=spec.address,
        port=spec.port,
        user=spec.user,
        host_key=spec.host_key,
        host_ca=spec.host_ca,
        via=spec.via,
        labels=tuple(sorted(spec.labels.items())),
        tiers=tuple(sorted(set(spec.tiers))),
        max_parallel=spec.max_parallel,
        socket=spec.socket,
        directory=spec.directory,
        location=Location(read.file),
    )


def _check_name(path: str, what: str, name: str, pattern: str, problems: list[Problem]) -> None:
    if not re.fullmatch(pattern, name):
        hint = "use small letters, digits, '_' and '-'"
        problems.append(Problem(Location(path), f"'{name}' is not a name for a {what}", hint))


def _projects(tree: Tree, principals: Principals | None, problems: list[Problem]) -> None:
    people = [person.name for person in principals.people] if principals else None
    for path, _ in _matches(tree, _PROJECT):
        read = read_file(tree, path, ProjectFile, problems)
        if read is None or people is None:
            continue
        for index, owner in enumerate(read.model.owners):
            if owner not in people:
                said = f"the owner '{owner}' is not among the people of principals.yaml"
                problems.append(Problem(read.at("owners", index), said, nearest(owner, people)))


def _environments(
    tree: Tree, hosts: Mapping[str, HostSpec | None], defaults: Choices, problems: list[Problem]
) -> list[EnvironmentSpec]:
    environments = []
    for path, (project, environment) in _matches(tree, _ENVIRONMENT):
        _check_name(path, "project", project, NAME, problems)
        _check_name(path, "environment", environment, NAME, problems)
        read = read_file(tree, path, EnvironmentFile, problems)
        if read is None:
            continue
        environments.append(_environment(EnvironmentName(project, environment), read, tree, hosts, defaults, problems))
    return environments


def _environment(
    name: EnvironmentName,
    read: ReadFile[EnvironmentFile],
    tree: Tree,
    hosts: Mapping[str, HostSpec | None],
    defaults: Choices,
    problems: list[Problem],
) -> EnvironmentSpec:
    said, directory = read.model, posixpath.dirname(read.file)
    chosen: dict[str, Any] = {
        key: getattr(said if key in said.model_fields_set else defaults, key) for key in Choices.model_fields
    }
    selected = _selected_hosts(read, hosts, problems)
    for key in ("secrets", "registry"):
        if getattr(said, key):
            text = "secrets need the SOPS provider, which this version does not have"
            problems.append(Problem(read.at(key), text, f"remove '{key}'; env files hold what is not secret"))
    for key, value in _NOT_YET:
        if chosen.get(key, getattr(said, key)) == value:
            text = f"'{key}: {value}' is not carried out by this version"
            problems.append(Problem(read.at(key), text, f"remove '{key}' here or in the defaults"))
    if said.renamed_from is not None:
        text = "'renamed_from' is not carried out by this version"
        problems.append(Problem(read.at("renamed_from"), text, "remove the old environment first, in its own change"))
    for index, job in enumerate(said.before):
        if job not in said.jobs:
            where = read.at("before", index)
            problems.append(Problem(where, f"'{job}' runs before, but is not one of the jobs", "add it to 'jobs'"))
    _check_waves(read, selected, problems)
    compose = _compose_files(read, tree, name, problems)
    env_files = _named_files(read, "env_files", said.env_files, tree, name, problems)
    for file in env_files:
        problems.extend(read_env_file(file, tree.files[file].content)[1])
    own = said.compose_project or f"{name.project}-{name.environment}"
    return EnvironmentSpec(
        name=name,
        directory=directory,
        hosts=selected,
        tier=said.tier,
        compose_project=own,
        compose=compose,
        env_files=env_files,
        variables=tuple(sorted(said.variables.items())),
        consent=Consent(chosen["consent"]),
        consent_delay=chosen["consent_delay"],
        agent_owner_may_approve=chosen["agent_owner_may_approve"],
        bind=chosen["bind"],
        drift=DriftMode(chosen["drift"]),
        heal_stopped=chosen["heal_stopped"],
        when_unreachable=chosen["when_unreachable"],
        rollout=Rollout(
            tuple(tuple(wave) for wave in said.rollout.waves), said.rollout.pause, said.rollout.max_failed_hosts
        ),
        health=HealthPolicy(chosen["health"].timeout, chosen["health"].stable_for),
        jobs=tuple(sorted(set(said.jobs))),
        before=tuple(said.before),
        windows=tuple(Window(each.deny.start, each.deny.end, each.deny.timezone) for each in chosen["windows"]),
        on_failure=chosen["on_failure"],
        remove_volumes=tuple(sorted(set(said.remove_volumes))),
        renamed_from=said.renamed_from,
        waivers=_waivers(read, problems),
        location=Location(read.file),
    )


def _waivers(read: ReadFile[EnvironmentFile], problems: list[Problem]) -> tuple[Waiver, ...]:
    """Sorted, so that their order changes nothing."""
    waivers: dict[str, Waiver] = {}
    for index, each in enumerate(read.model.waivers):
        where = read.at("waivers", index)
        if any(each.finding.startswith(other) or other.startswith(each.finding) for other in waivers):
            problems.append(Problem(where, f"the finding '{each.finding}' is waived twice", "keep one of them"))
        waivers[each.finding] = Waiver(each.finding, each.why, where)
    return tuple(waivers[finding] for finding in sorted(waivers))


def _selected_hosts(
    read: ReadFile[EnvironmentFile], hosts: Mapping[str, HostSpec | None], problems: list[Problem]
) -> tuple[str, ...]:
    said = read.model
    if (said.hosts is None) == (said.select is None):
        if said.hosts:
            text = "names its hosts twice, by 'hosts' and by 'select'"
            problems.append(Problem(read.at("select"), text, "use one of them"))
        else:
            hint = "say hosts: [names], or select: {label: value}"
            problems.append(Problem(Location(read.file), "names no hosts", hint))
        return ()
    if said.select is not None:
        wanted = set(said.select.items())
        selected = sorted(name for name, host in hosts.items() if host and wanted <= set(host.labels))
        if not selected and all(hosts.values()):
            problems.append(Problem(read.at("select"), "no host has all of these labels", "see labels in hosts/*.yaml"))
    else:
        selected = list(said.hosts or ())
        for index, name in enumerate(selected):
            where = read.at("hosts", index)
            if name not in hosts:
                problems.append(Problem(where, f"there is no host '{name}'", nearest(name, hosts)))
            if name in selected[:index]:
                problems.append(Problem(where, f"the host '{name}' is named twice", "keep one of them"))
    for name in selected:
        host = hosts.get(name)
        if host and said.tier not in host.tiers:
            text = f"the host '{name}' does not admit the tier '{said.tier}' (it admits {', '.join(host.tiers)})"
            problems.append(Problem(read.at("tier"), text, f"see tiers in hosts/{name}.yaml"))
    return tuple(dict.fromkeys(selected))


def _check_waves(read: ReadFile[EnvironmentFile], hosts: Sequence[str], problems: list[Problem]) -> None:
    waves = read.model.rollout.waves
    if not waves:
        return
    named = [host for wave in waves for host in wave]
    where = read.at("rollout", "waves")
    for host in sorted(set(named)):
        if named.count(host) > 1:
            problems.append(Problem(where, f"the host '{host}' is in several waves", "keep it in one"))
        if host not in hosts:
            problems.append(Problem(where, f"the wave names '{host}', which is not a host of the environment"))
    for host in hosts:
        if host not in named:
            problems.append(Problem(where, f"the host '{host}' is in no wave", "add it to one"))


def _compose_files(
    read: ReadFile[EnvironmentFile], tree: Tree, name: EnvironmentName, problems: list[Problem]
) -> tuple[str, ...]:
    directory = posixpath.dirname(read.file)
    if read.model.compose is None:
        usual = (posixpath.join(posixpath.dirname(directory), "compose.yaml"), f"{directory}/compose.yaml")
        files = tuple(file for file in usual if file in tree.files)
        if not files:
            hint = "add compose.yaml beside it or above it, or name the files under 'compose'"
            problems.append(Problem(Location(read.file), "the environment has no Compose file", hint))
    else:
        files = _named_files(read, "compose", read.model.compose, tree, name, problems)
    for file in files:
        problems.extend(read_node(file, tree.files[file].content, compose=True)[1])
    return files


def _named_files(
    read: ReadFile[EnvironmentFile],
    key: str,
    names: Sequence[str],
    tree: Tree,
    environment: EnvironmentName,
    problems: list[Problem],
) -> tuple[str, ...]:
    """The repository paths of files that the environment names; those that cannot be used become problems."""
    directory = posixpath.dirname(read.file)
    project = posixpath.dirname(directory)
    found = []
    for index, name in enumerate(names):
        where = read.at(key, index)
        path = posixpath.normpath(posixpath.join(directory, name))
        if not path.startswith(f"{project}/"):
            text = f"'{name}' lies outside of {project}/"
            hint = f"an environment of {environment.project} uses only its project's files"
            problems.append(Problem(where, text, hint, gate=OUTSIDE))
        elif path not in tree.files:
            beside = [posixpath.relpath(file, directory) for file in tree.files if file.startswith(f"{project}/")]
            is_directory = any(file.startswith(f"{path}/") for file in tree.files)
            text = f"'{name}' is a directory" if is_directory else f"the file '{name}' ({path}) is missing"
            problems.append(Problem(where, text, nearest(name, beside)))
        elif tree.files[path].kind not in (FileKind.FILE, FileKind.EXECUTABLE):
            continue  # reported once, by kind_problems
        elif path in found:
            problems.append(Problem(where, f"the file '{name}' is named twice", "keep one of them"))
        else:
            found.append(path)
    return tuple(found)


def _unique_projects(
    environments: Sequence[EnvironmentSpec], hosts: Mapping[str, HostSpec | None], problems: list[Problem]
) -> None:
    """One environment for each Compose project on a machine, by whatever names and addresses the machine is called:
    under a second name another environment could take the containers of the first for its own.
    """
    taken: dict[tuple[object, str], tuple[EnvironmentSpec, str]] = {}
    for environment in environments:
        for name in environment.hosts:
            host = hosts.get(name)
            places: list[object] = [name]
            if host is not None:
                places += [(host.address, host.port, host.via, host.socket), (host.host_key or name, host.socket)]
            found = [taken.setdefault((at, environment.compose_project), (environment, name)) for at in places]
            for other, there in found:
                if other is not environment:
                    also = "" if there == name else f" (the same machine as '{there}')"
                    project = environment.compose_project
                    text = f"the Compose project '{project}' is {other.name}'s on host '{name}'{also} already"
                    problems.append(Problem(environment.location, text, "give it another compose_project"))
                    break
