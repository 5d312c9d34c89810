"""The engine's own configuration in the ledger: noted when it changes, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reconciler.control import configuration
from reconciler.control.parts import Parts
from reconciler.settings import read_settings
from reconciler.storage import Database
from tests.unit.control.plane import parts_of

SETTINGS = """\
forge: {kind: github, api: "https://user:hunter2@forge.test", repository: acme/infra, token_file: token}
git: {url: "https://forge.test/acme/infra.git"}
database: "sqlite:///state/reconciler.db"
ssh: {key_file: id_ed25519}
"""


def entries(parts: Parts) -> list[dict[str, Any]]:
    return [json.loads(entry.body)["data"] for entry in parts.ledger.find("configuration", "server")]


def test_it_is_noted_once_and_again_when_it_changes(database: Database, tmp_path: Path) -> None:
    parts = parts_of(database, keys=tmp_path)
    values = {"poll": "PT15S", "listen": "127.0.0.1:8080"}
    assert configuration.noted(parts, values, "1.0")
    assert not configuration.noted(parts, values, "1.0")
    assert configuration.noted(parts, {**values, "poll": "PT30S"}, "1.0")
    assert configuration.noted(parts, {**values, "poll": "PT30S"}, "1.1")
    assert [entry["changed"] for entry in entries(parts)] == [["listen", "poll", "signing_key"], ["poll"], []]
    assert len({entry["digest"] for entry in entries(parts)}) == 2
    assert [entry["version"] for entry in entries(parts)] == ["1.0", "1.0", "1.1"]


def test_another_key_of_the_installation_is_a_change(database: Database, tmp_path: Path) -> None:
    parts = parts_of(database, keys=tmp_path)
    configuration.noted(parts, {}, "1.0")
    (tmp_path / "signing.key").unlink()
    assert configuration.noted(parts, {}, "1.0")
    assert entries(parts)[-1]["changed"] == ["signing_key"]
    assert entries(parts)[-1]["values"]["signing_key"].startswith("ssh-ed25519 ")


def test_every_setting_is_recorded_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "server.yaml").write_text(SETTINGS)
    (tmp_path / "token").write_text("the secret")
    recorded = read_settings(tmp_path / "server.yaml").recorded()
    assert recorded["forge.token_file"] == "token"
    assert recorded["forge.api"] == "https://***@forge.test"
    assert recorded["poll"] == "PT15S"
    assert "hunter2" not in str(recorded)
    assert "the secret" not in str(recorded)
    (tmp_path / "server.yaml").write_text(SETTINGS + "ledger: {witness: {url: '/srv/witness.git'}}\npoll: 16s\n")
    changed = read_settings(tmp_path / "server.yaml").recorded()
    assert {name for name in changed if changed[name] != recorded.get(name)} == {
        "poll", "ledger.witness.url", "ledger.witness.branch",
    }  # fmt: skip
