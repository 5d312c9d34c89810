"""A container's configuration as the engine keeps it."""

from typing import Any

import pytest

from reconciler.simulation.configuration import merged_config, merged_host_config, requested_mounts
from reconciler.simulation.errors import EngineRefusal

IMAGE: dict[str, Any] = {
    "Cmd": ["serve"],
    "Entrypoint": ["/start"],
    "Env": ["PATH=/bin", "MODE=image"],
    "Labels": {"release": "1", "vendor": "acme"},
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5, "Retries": 2},
    "User": "app",
    "WorkingDir": "/srv",
    "Volumes": {"/data": {}},
}


def _config(image: dict[str, Any] | None = None, **requested: Any) -> dict[str, Any]:
    return merged_config(requested, IMAGE if image is None else image, "0123456789ab", "simulated")


def test_what_is_not_asked_for_comes_from_the_image() -> None:
    config = _config()
    assert (config["Entrypoint"], config["Cmd"]) == (["/start"], ["serve"])
    assert config["Env"] == ["PATH=/bin", "MODE=image"]
    assert (config["User"], config["WorkingDir"], config["Hostname"]) == ("app", "/srv", "0123456789ab")
    assert config["Healthcheck"] == IMAGE["Healthcheck"]


def test_what_is_asked_for_comes_first_and_replaces_by_name() -> None:
    config = _config(Env=["MODE=own", "MORE=1"], Labels={"release": "2"}, ExposedPorts={"90/tcp": {}})
    assert config["Env"] == ["MODE=own", "MORE=1", "PATH=/bin"]
    assert config["Labels"] == {"release": "2", "vendor": "acme"}
    assert list(config["ExposedPorts"]) == ["80/tcp", "90/tcp"]


def test_an_entrypoint_of_ones_own_drops_the_images_command() -> None:
    config = _config(Entrypoint=["/other"])
    assert (config["Entrypoint"], config["Cmd"]) == (["/other"], None)


def test_an_empty_entrypoint_takes_the_images_away() -> None:
    config = _config(Entrypoint=[""], Cmd=["run"])
    assert (config["Entrypoint"], config["Cmd"]) == (None, ["run"])


def test_an_entrypoint_of_no_words_leaves_the_images_command() -> None:
    config = _config(Entrypoint=[])
    assert (config["Entrypoint"], config["Cmd"]) == ([], ["serve"])


def test_a_container_without_any_command_is_refused() -> None:
    with pytest.raises(EngineRefusal, match="No command specified"):
        _config(image={})


def test_a_health_check_takes_what_it_leaves_out_from_the_image() -> None:
    check = _config(Healthcheck={"Interval": 9, "Timeout": 0})["Healthcheck"]
    assert check == {"Test": ["CMD", "true"], "Interval": 9, "Retries": 2}


def test_a_memory_limit_brings_twice_as_much_swap() -> None:
    assert merged_host_config({"Memory": 1 << 26})["MemorySwap"] == 1 << 27
    assert merged_host_config({"Memory": 1 << 26, "MemorySwap": -1})["MemorySwap"] == -1
    with pytest.raises(EngineRefusal, match="6MB"):
        merged_host_config({"Memory": 1024})


def test_a_restart_policy_that_is_none_is_refused() -> None:
    with pytest.raises(EngineRefusal, match="invalid restart policy 'sometimes'"):
        merged_host_config({"RestartPolicy": {"Name": "sometimes"}})
    with pytest.raises(EngineRefusal, match="maximum retry count"):
        merged_host_config({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}})


def test_a_bind_may_be_created_and_a_mount_may_not() -> None:
    strict = {"Type": "bind", "Source": "/src", "Target": "/c", "BindOptions": {"CreateMountpoint": True}}
    host = merged_host_config({"Binds": ["/src:/a:ro", "named:/b"], "Mounts": [strict]})
    mounts = {mount.destination: mount for mount in requested_mounts(_config(), host)}
    assert (mounts["/a"].strict, mounts["/c"].strict) == (False, True)
    assert (mounts["/a"].read_write, mounts["/b"].name, mounts["/data"].name) == (False, "named", "")
    assert host["Mounts"][0]["BindOptions"] == {}, "the option came with API 1.42"


def test_two_mounts_in_one_place_are_refused() -> None:
    host = merged_host_config({"Binds": ["one:/a", "two:/a"]})
    with pytest.raises(EngineRefusal, match="Duplicate mount point: /a"):
        requested_mounts(_config(), host)


def test_a_mount_takes_the_place_of_the_images_volume() -> None:
    host = merged_host_config({"Binds": ["named:/data"]})
    assert [mount.name for mount in requested_mounts(_config(), host)] == ["named"]
