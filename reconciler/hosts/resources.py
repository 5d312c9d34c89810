"""Networks, volumes and single containers of an engine: created, removed and read so that doing it twice is harmless;
called by host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.hosts import engine_output
from reconciler.hosts.engine_api import EngineApi, EngineRefused
from reconciler.hosts.engine_output import PROJECT_LABEL
from reconciler.model.desired import DesiredNetwork, DesiredVolume
from reconciler.model.errors import Terminal
from reconciler.model.redaction import mask, printable

NETWORK_LABEL = "com.docker.compose.network"
VOLUME_LABEL = "com.docker.compose.volume"
_STOP_SECONDS = 60.0
_LARGEST_LOG = 4 << 20


def create_network(api: EngineApi, network: DesiredNetwork, compose_project: str) -> None:
    """One that is there with our labels is taken as done; one of somebody else's is refused."""
    if network.external:
        raise Terminal(f"network {network.name} is external: it is not ours to create")
    labels = {**dict(network.labels), PROJECT_LABEL: compose_project, NETWORK_LABEL: network.key}
    (listing,) = api.get((f"/networks?{_filter(name=network.name)}",))
    there = engine_output.named(listing, network.name)  # the filter finds parts of names too
    if there is not None:
        _ours(f"network {network.name}", there, compose_project, NETWORK_LABEL, network.key)
        return
    body: dict[str, Any] = {
        "Name": network.name,
        "CheckDuplicate": True,
        "Driver": network.driver or "bridge",
        "Options": dict(network.driver_options),
        "Internal": network.internal,
        "Attachable": network.attachable,
        "EnableIPv6": network.ipv6,
        "Labels": labels,
    }
    if network.subnets:
        configuration = [{"Subnet": s, **({"Gateway": gateway} if gateway else {})} for s, gateway in network.subnets]
        body["IPAM"] = {"Driver": "default", "Config": configuration}
    api.call("POST", "/networks/create", body)


def disconnect_network(api: EngineApi, name: str, container: str) -> None:
    """One that is not connected, or gone, is no error."""
    try:
        api.call("POST", f"/networks/{_quoted(name)}/disconnect", {"Container": container, "Force": True}, fine=(404,))
    except EngineRefused as error:
        if "is not connected" not in error.text:
            raise


def remove_network(api: EngineApi, name: str) -> None:
    api.call("DELETE", f"/networks/{_quoted(name)}", fine=(404,))


def create_volume(api: EngineApi, volume: DesiredVolume, compose_project: str) -> None:
    """One that is there with our labels is taken as done; one of somebody else's is refused."""
    if volume.external:
        raise Terminal(f"volume {volume.name} is external: it is not ours to create")
    (found,) = api.get((f"/volumes/{_quoted(volume.name)}",))
    if found is not None:
        _ours(f"volume {volume.name}", found, compose_project, VOLUME_LABEL, volume.key)
        return
    body = {
        "Name": volume.name,
        "Driver": volume.driver or "local",
        "DriverOpts": dict(volume.driver_options),
        "Labels": {**dict(volume.labels), PROJECT_LABEL: compose_project, VOLUME_LABEL: volume.key},
    }
    api.call("POST", "/volumes/create", body)


def remove_volume(api: EngineApi, name: str) -> None:
    api.call("DELETE", f"/volumes/{_quoted(name)}", fine=(404,))


def remove_container(api: EngineApi, name_or_id: str, stop_timeout: int | None) -> None:
    """Stop it, then remove it without its volumes. Seconds of grace; the container's own where None."""
    at = f"/containers/{_quoted(name_or_id)}"
    (found,) = api.get((f"{at}/json",))
    if found is None:
        return
    number, status, own = engine_output.to_stop(found)
    grace = stop_timeout if stop_timeout is not None else own
    at = f"/containers/{_quoted(number)}"
    if status in ("running", "restarting"):
        wait = "" if stop_timeout is None else f"?t={stop_timeout}"
        api.call("POST", f"{at}/stop{wait}", fine=(304, 404), timeout=grace + _STOP_SECONDS)
    # Force: a restart policy may have started it again, and a paused one is removed as it is.
    response = api.call("DELETE", f"{at}?force=1&v=0", fine=(404, 409), timeout=_STOP_SECONDS)
    if response.status == 409 and "already in progress" not in engine_output.message(response.body):
        text = printable(engine_output.message(response.body))
        raise Terminal(f"cannot remove container {name_or_id}: {text}")


def unpause(api: EngineApi, name_or_id: str) -> None:
    """One that is not paused is no error."""
    try:
        api.call("POST", f"/containers/{_quoted(name_or_id)}/unpause")
    except EngineRefused as error:
        if "is not paused" not in error.text:
            raise


def logs(api: EngineApi, container: str, lines: int) -> str:
    """The last lines, both streams, printable, with the container's own environment values masked.

    "" when the container is gone. Values that its image brings along are no secret and stay readable.
    """
    at = f"/containers/{_quoted(container)}"
    (found,) = api.get((f"{at}/json",))
    if found is None:
        return ""
    image_id, terminal, config = engine_output.log_source(found)
    (image,) = api.get((f"/images/{_quoted(image_id)}/json",))
    kept = bytearray()

    def take(piece: bytes) -> None:
        kept.extend(piece[: max(0, _LARGEST_LOG - len(kept))])

    query = urlencode({"stdout": 1, "stderr": 1, "tail": max(1, lines)})
    api.stream("GET", f"{at}/logs?{query}", take, timeout=30, silence=15)
    data = bytes(kept) if terminal else engine_output.demultiplex(bytes(kept))
    text = mask(data.decode("utf-8", "replace"), _secret_values(config, image))
    return "\n".join(printable(text).splitlines()[-max(1, lines) :])


def _secret_values(config: Mapping[str, Any], image: Any) -> set[str]:
    own = engine_output.environment_values(config)
    inherited = engine_output.environment_values(image.get("Config") if isinstance(image, dict) else None)
    return {value for name, value in own.items() if inherited.get(name) != value}


def _ours(what: str, there: Any, compose_project: str, label: str, key: str) -> None:
    found = engine_output.owner(there, what)
    if found.get(PROJECT_LABEL) != compose_project or found.get(label) != key:
        owner = found.get(PROJECT_LABEL)
        whose = f"project {owner}" if owner else "somebody else"
        raise Terminal(f"{what} exists and belongs to {whose}", hint="choose another name, or declare it external")


def _filter(**conditions: str) -> str:
    return urlencode({"filters": json.dumps({key: [value] for key, value in conditions.items()})})


def _quoted(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or not name.isprintable():
        raise Terminal(f"'{name}' is not a name of anything on an engine")
    return quote(name, safe="")
