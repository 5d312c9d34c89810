"""What the driver refuses to hand to Compose, whoever made the model: whatever Compose would read from our own disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.compose.driving import ComposeProgram
from reconciler.model.errors import InvalidInput
from reconciler.model.plan import CreateService


@pytest.mark.parametrize(
    "service",
    [
        {"env_file": "/etc/environment"},
        {"label_file": ["/etc/environment"]},
        {"extends": {"file": "/etc/compose.yaml", "service": "web"}},
        {"build": "."},
        {"security_opt": ["no-new-privileges:true", "seccomp=/root/key.json"]},
        {"security_opt": ["seccomp:key.json"]},
    ],
)
def test_a_model_that_names_a_file_of_ours_never_reaches_compose(service: dict[str, Any]) -> None:
    model = json.dumps({"services": {"web": {"image": "x"}, "other": {"image": "x", **service}}}).encode()
    with pytest.raises(InvalidInput, match="execution model"):
        ComposeProgram(Path("/nonexistent/compose")).run(
            Path("/nonexistent/socket"), CreateService("web", 1, "new"), "app", model, 1
        )
