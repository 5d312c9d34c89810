"""What a desired-state repository says, read strictly: from a tree of files to what each target shall run."""

from reconciler.desired.bundles import bundle_contents
from reconciler.desired.compose_hash import config_hash
from reconciler.desired.digests import environment_digest, known_values
from reconciler.desired.execution import image_references, removed_target, target_model
from reconciler.desired.files import schemas
from reconciler.desired.loading import ADOPTIONS, adoption_path, load
from reconciler.desired.render_input import render_input
from reconciler.desired.starter import starter

__all__ = [
    "ADOPTIONS",
    "adoption_path",
    "bundle_contents",
    "config_hash",
    "environment_digest",
    "image_references",
    "known_values",
    "load",
    "removed_target",
    "render_input",
    "schemas",
    "starter",
    "target_model",
]
