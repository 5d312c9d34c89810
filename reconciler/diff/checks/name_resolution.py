"""Name servers, search domains, options and extra hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from reconciler.diff.pair import Difference, Pair, differ


def check(pair: Pair) -> Iterable[Difference]:
    for key, name in (("dns", "Dns"), ("dns_opt", "DnsOptions"), ("dns_search", "DnsSearch")):
        wanted = pair.wanted.get(key) or ()
        wanted = [wanted] if isinstance(wanted, str) else [str(entry) for entry in wanted]
        yield from differ(key, [str(entry) for entry in pair.host.get(name) or ()], wanted)
    extra = pair.wanted.get("extra_hosts") or ()
    if isinstance(extra, Mapping):
        extra = [
            f"{host}={address}"
            for host, addresses in extra.items()
            for address in ([addresses] if isinstance(addresses, str) else addresses)
        ]
    yield from differ("extra_hosts", _hosts(pair.host.get("ExtraHosts") or ()), _hosts(extra))


def _hosts(entries: Iterable[str]) -> list[str]:
    """Sorted "name=address"; the engine writes a colon between them, and addresses may have brackets."""
    parts = (re.split("[=:]", str(entry), maxsplit=1) for entry in entries)
    return sorted("=".join([name, *(address.strip("[]") for address in rest)]) for name, *rest in parts)
