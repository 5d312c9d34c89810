"""Sizes, durations and processor shares as Compose writes them."""

import pytest

from reconciler.diff.units import cpus_in_nano, duration_in_nanoseconds, size_in_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [(None, 0), ("64m", 64 << 20), ("67108864", 64 << 20), (1, 1), ("1.5g", 3 << 29), ("2KiB", 2048), ("-1", -1)],
)
def test_sizes(text: object, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, 0), ("0", 0), ("1m30s", 90), ("1.5s", 1.5), ("250ms", 0.25), ("1h0m0.5s", 3600.5)]
)
def test_durations(text: object, seconds: float) -> None:
    assert duration_in_nanoseconds(text) == seconds * 10**9


@pytest.mark.parametrize(("text", "nano"), [(None, 0), ("0.5", 5 * 10**8), (1.25, 125 * 10**7)])
def test_processor_shares(text: object, nano: int) -> None:
    assert cpus_in_nano(text) == nano


def test_what_is_neither_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size_in_bytes("much")
    with pytest.raises(ValueError, match="is not a duration"):
        duration_in_nanoseconds("5 minutes")
