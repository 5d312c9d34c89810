"""Values of the model never come back in what Compose says."""

from reconciler.compose.redaction import redact
from reconciler.model.redaction import MASK, printable

MODEL = {
    "name": "shop",
    "services": {
        "web": {
            "image": "registry.test/web",
            "environment": {"PASSWORD": "hunter2/&x", "PORT": "8080", "DEBUG": "1", "COST": "a$$b$$c"},
            "ports": [{"published": "8080", "target": 80}],
        },
        "list": {"environment": ["TOKEN=tok-12345"]},
    },
    "configs": {"settings": {"content": "line one\nline two"}},
}


def test_an_environment_value_is_masked_in_every_spelling() -> None:
    for spelling in ("hunter2/&x", "aHVudGVyMi8meA==", "aHVudGVyMi8meA", "hunter2%2F%26x"):
        assert redact(f"got {spelling}!", MODEL) == f"got {MASK}!"


def test_a_doubled_dollar_is_masked_as_the_container_sees_it() -> None:
    assert redact("got a$b$c", MODEL) == f"got {MASK}"


def test_environment_as_a_list_and_inline_content_are_masked_too() -> None:
    assert redact("tok-12345", MODEL) == MASK
    assert redact("line one\nline two", MODEL) == MASK
    assert redact('"line one\\nline two"', MODEL) == f'"{MASK}"'


def test_what_stands_elsewhere_in_the_model_stays_readable() -> None:
    assert redact("0.0.0.0:8080 is taken, 1 failed", MODEL) == "0.0.0.0:8080 is taken, 1 failed"


def test_everyday_words_and_numbers_stay_readable() -> None:
    model = {"services": {"web": {"environment": {"A": "true", "B": "info", "C": "8443", "D": "truest"}}}}
    assert redact("true info 8443 truest", model) == f"true info 8443 {MASK}"


def test_terminal_sequences_and_direction_marks_are_removed() -> None:
    assert printable("\x1b[31mred\x1b[0m\r\n\x1b]0;title\x07a\u202eb\tc") == "red\nab\tc"
