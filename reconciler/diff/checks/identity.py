"""Who and where the process is: container name, user, groups, working directory, host name."""

from __future__ import annotations

from collections.abc import Iterable
from posixpath import normpath

from reconciler.diff.pair import Difference, Pair, differ


def check(pair: Pair) -> Iterable[Difference]:
    config, wanted = pair.container.config, pair.wanted
    for key, name in (("user", "User"), ("working_dir", "WorkingDir")):
        if wanted.get(key):
            yield from differ(key, _word(key, config.get(name)), _word(key, wanted[key]))
        elif pair.inherited is not None:
            yield from differ(key, _word(key, config.get(name)), _word(key, pair.from_image(name)))
    own = pair.wanted.get("container_name")
    expected = str(own) if own else f"{pair.desired.compose_project}-{pair.service.name}-{pair.container.number}"
    yield from differ("container_name", pair.container.name.lstrip("/"), expected)
    groups = sorted(str(group) for group in wanted.get("group_add") or ())
    yield from differ("group_add", sorted(pair.host.get("GroupAdd") or ()), groups)
    yield from differ("domainname", config.get("Domainname") or None, wanted.get("domainname") or None)
    yield from _hostname(pair)


def _word(key: str, value: object) -> str | None:
    if not value:
        return None
    return normpath(str(value)) if key == "working_dir" else str(value)


def _hostname(pair: Pair) -> Iterable[Difference]:
    live = pair.container.config.get("Hostname") or None
    wanted = pair.wanted.get("hostname")
    if wanted:
        return differ("hostname", live, wanted)
    shared = pair.wanted.get("network_mode") or pair.wanted.get("uts")  # then the other side's name shows
    if shared or live in (None, pair.container.id[:12]):
        return ()
    return differ("hostname", live, None)
