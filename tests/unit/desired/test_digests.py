"""The digest that says whether there is anything to deploy, and which values may be shown."""

from dataclasses import replace

import pytest

from reconciler.desired import environment_digest, known_values, load
from reconciler.model.location import Location
from reconciler.model.revision import FileKind, Tree, TreeFile
from tests.unit.desired.repositories import FINGERPRINTER, edited, rendered, sample, with_files


def digest_of(tree: Tree, name: str = "shop/production") -> str:
    environment, model = rendered(tree, name)
    return environment_digest(environment, model, load(tree).hosts, tree)


@pytest.mark.parametrize(
    ("file", "find", "put"),
    [
        ("projects/shop/www/index.html", "open", "closed"),
        ("projects/shop/httpd.conf", "A:*", "A:127.0.0.1"),
        ("projects/shop/api/api.env", "info", "debug"),
        ("projects/shop/production/production.env", "Good", "Bad"),
        ("projects/shop/production/compose.yaml", "replicas: 2", "replicas: 3"),
        ("projects/shop/production/environment.yaml", "drift: heal", "drift: report"),
        ("projects/shop/production/environment.yaml", 'TAG: "1.0"', 'TAG: "1.1"'),
        ("hosts/web-1.yaml", "directory: /var/lib/reconciler", "directory: /srv/reconciler"),
    ],
)
def test_what_an_environment_is_made_of_changes_its_digest(file: str, find: str, put: str) -> None:
    assert digest_of(edited(sample(), [{"file": file, "find": find, "put": put}])) != digest_of(sample())


def test_the_executable_bit_of_a_mounted_file_changes_the_digest() -> None:
    path = "projects/shop/api/api.sh"
    plain = TreeFile(FileKind.FILE, sample().files[path].content)
    assert digest_of(with_files(sample(), {path: plain})) != digest_of(sample())


@pytest.mark.parametrize(
    ("file", "find", "put"),
    [
        ("README.md", "# What", "# That"),
        ("projects/shop/production/environment.yaml", "hosts: [web-1]", "# a comment\nhosts: [web-1]"),
        ("projects/shop/compose.yaml", "services:", "# a comment\nservices:"),
        ("projects/shop/staging/staging.env", "Hello", "Goodbye"),
        ("hosts/web-2.yaml", "region: us", "region: asia"),
        ("policy.yaml", "id: max-files", "id: not-many-files"),
    ],
)
def test_what_it_is_not_made_of_does_not(file: str, find: str, put: str) -> None:
    assert digest_of(edited(sample(), [{"file": file, "find": find, "put": put}])) == digest_of(sample())


def test_values_that_git_holds_in_clear_may_be_shown() -> None:
    _, model = rendered(sample(), "shop/production")
    known = known_values(model, "shop/production", FINGERPRINTER)
    assert known[FINGERPRINTER.of("shop/production", "GREETING", "Good day")] == "Good day"
    assert FINGERPRINTER.of("shop/staging", "GREETING", "Good day") not in known
    assert FINGERPRINTER.of("shop/production", "GREETING", "Bad day") not in known


def test_where_something_stands_is_not_part_of_the_digest() -> None:
    environment, model = rendered(sample(), "shop/production")
    hosts = load(sample()).hosts
    moved = replace(environment, location=Location("elsewhere.yaml", 7))
    others = tuple(replace(host, location=Location("elsewhere.yaml", 7)) for host in reversed(hosts))
    assert environment_digest(moved, model, others, sample()) == environment_digest(environment, model, hosts, sample())


def test_a_jump_host_is_part_of_what_an_environment_is_made_of() -> None:
    tree = edited(sample(), [{"file": "hosts/web-1.yaml", "append": "via: web-2\n"}])
    changed = edited(tree, [{"file": "hosts/web-2.yaml", "find": "port: 22", "put": "port: 2222"}])
    assert digest_of(changed) != digest_of(tree)
