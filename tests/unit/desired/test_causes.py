"""Causes: the last line that says something, in whatever form it is written."""

from reconciler.desired.causes import causes
from reconciler.model.desired import EnvironmentSpec
from reconciler.model.location import Location
from reconciler.model.revision import Tree
from reconciler.model.target import EnvironmentName
from tests.unit.desired.repositories import with_files

BASE, OVER = "projects/p/compose.yaml", "projects/p/e/compose.yaml"


def index(base: str, over: str = "services: {}\n", files: dict[str, str] | None = None) -> dict[str, str]:
    tree = with_files(Tree("", {}), {BASE: base, OVER: over, **(files or {})})
    environment = EnvironmentSpec(EnvironmentName("p", "e"), "projects/p/e", ("h",), "t", "p-e", (BASE, OVER))
    return {path: str(place) for path, place in causes(tree, environment).items()}


def test_short_and_long_syntax_have_the_same_paths() -> None:
    short = """\
services:
  web:
    image: a
    environment:
      - GREETING=hello
    labels:
      - team=a
    volumes:
      - ./data:/data
      - /anonymous
    networks:
      - front
    ports:
      - "127.0.0.1:80:8080/tcp"
    depends_on:
      - db
"""
    long = """\
services:
  web:
    image: a
    environment:
      GREETING: hello
    labels:
      team: a
    volumes:
      - {type: bind, source: ./data, target: /data}
      - {type: volume, target: /anonymous}
    networks:
      front:
    ports:
      - {target: 8080, published: 80}
    depends_on:
      db: {condition: service_started}
"""
    expected = {
        "services.web": f"{BASE}:2",
        "services.web.image": f"{BASE}:3",
        "services.web.environment.GREETING": f"{BASE}:5",
        "services.web.labels.team": f"{BASE}:7",
        "services.web.volumes./data": f"{BASE}:9",
        "services.web.volumes./anonymous": f"{BASE}:10",
        "services.web.networks.front": f"{BASE}:12",
        "services.web.ports.8080": f"{BASE}:14",
        "services.web.depends_on.db": f"{BASE}:16",
    }
    for text in (short, long):
        found = index(text)
        assert {path: found.get(path) for path in expected} == expected


def test_the_overlay_is_the_cause_of_what_it_sets_and_of_nothing_else() -> None:
    found = index(
        "services:\n  web:\n    image: a\n    environment: {A: x, B: y}\n"
        "networks:\n  front: {}\nvolumes:\n  data: {}\n",
        "services:\n  web:\n    environment:\n      B: z\nvolumes:\n  data:\n    labels: {a: b}\n",
    )
    assert found["services.web.image"] == f"{BASE}:3"
    assert found["services.web.environment.A"] == f"{BASE}:4"
    assert found["services.web.environment.B"] == f"{OVER}:4"
    assert (found["networks.front"], found["volumes.data"]) == (f"{BASE}:6", f"{OVER}:6")


def test_what_a_merge_key_brings_has_the_line_of_its_anchor() -> None:
    found = index("x-base: &base\n  image: a\n  user: root\nservices:\n  web:\n    <<: *base\n    user: me\n")
    assert (found["services.web.image"], found["services.web.user"]) == (f"{BASE}:2", f"{BASE}:7")
    assert not [path for path in found if path.startswith("x-")]


def test_an_override_forgets_what_was_below() -> None:
    found = index(
        "services:\n  web:\n    environment: {A: x}\n", "services:\n  web:\n    environment: !override\n      B: y\n"
    )
    assert "services.web.environment.A" not in found
    assert found["services.web.environment.B"] == f"{OVER}:4"


def test_a_variable_out_of_an_env_file_has_its_line_there() -> None:
    found = index(
        "services:\n  web:\n    env_file: [web.env, {path: more.env}]\n    environment: {B: y}\n",
        files={"projects/p/web.env": "# first\nA=x\nB=x\n", "projects/p/more.env": "C=x\n"},
    )
    assert found["services.web.environment.A"] == "projects/p/web.env:2"
    assert found["services.web.environment.B"] == f"{BASE}:4"
    assert found["services.web.environment.C"] == "projects/p/more.env:1"


def test_a_place_prints_as_file_and_line() -> None:
    assert str(Location(BASE, 3)) == f"{BASE}:3"
