"""Memory, processors, processes: what `docker update` changes unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.diff.pair import Difference, Pair, differ
from reconciler.diff.units import cpus_in_nano, size_in_bytes

_DEFAULT_SHM = 64 * 1024 * 1024
_PLAIN = (("cpu_shares", "CpuShares"), ("oom_score_adj", "OomScoreAdj"))
_MICROSECONDS = (("cpu_quota", "CpuQuota"), ("cpu_period", "CpuPeriod"))


def check(pair: Pair) -> Iterable[Difference]:
    wanted, host = pair.wanted, pair.host
    limits, reservations = _deployed(wanted, "limits"), _deployed(wanted, "reservations")
    memory = size_in_bytes(limits.get("memory") or wanted.get("mem_limit"))
    yield from differ("memory", _number(host, "Memory"), memory)
    yield from _swap(pair, memory)
    yield from differ(
        "memory_reservation",
        _number(host, "MemoryReservation"),
        size_in_bytes(reservations.get("memory") or wanted.get("mem_reservation")),
    )
    nano = cpus_in_nano(limits.get("cpus") or wanted.get("cpus"))
    yield from differ("cpus", _number(host, "NanoCpus") / 1e9, nano / 1e9)
    yield from differ("cpuset", host.get("CpusetCpus") or "", wanted.get("cpuset") or "")
    pids = max(int(limits.get("pids") or wanted.get("pids_limit") or 0), 0)
    yield from differ("pids_limit", max(_number(host, "PidsLimit"), 0), pids)
    for key, name in _PLAIN:
        yield from differ(key, _number(host, name), int(wanted.get(key) or 0))
    for key, name in _MICROSECONDS:
        yield from differ(key, _number(host, name), int(wanted.get(key) or 0))
    yield from differ("oom_kill_disable", bool(host.get("OomKillDisable")), bool(wanted.get("oom_kill_disable")))
    weight = int((wanted.get("blkio_config") or {}).get("weight") or 0)
    yield from differ("blkio_weight", _number(host, "BlkioWeight"), weight)
    shm = size_in_bytes(wanted.get("shm_size"))
    if shm or (pair.redefined and _number(host, "ShmSize") != _DEFAULT_SHM):
        yield from differ("shm_size", _number(host, "ShmSize"), shm or _DEFAULT_SHM)
    if wanted.get("mem_swappiness") is not None and host.get("MemorySwappiness") is not None:  # None on cgroup v2
        yield from differ("mem_swappiness", _number(host, "MemorySwappiness"), int(wanted["mem_swappiness"]))


def _swap(pair: Pair, memory: int) -> Iterable[Difference]:
    live = _number(pair.host, "MemorySwap")
    wanted = size_in_bytes(pair.wanted.get("memswap_limit"))
    # Unset, the engine says twice the memory, or -1 where its kernel counts no swap.
    if not wanted and live in (0, -1, 2 * _number(pair.host, "Memory")):
        return ()
    return differ("memswap_limit", live, wanted or 2 * memory)


def _deployed(service: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    return resources.get(part) or {}


def _number(host: Mapping[str, Any], name: str) -> int:
    return int(host.get(name) or 0)
