"""Deny windows against the wall clock: weeks that wrap, days with 23 and 25 hours, other zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.control.windows import closed
from reconciler.model.desired import Window

BERLIN = ZoneInfo("Europe/Berlin")


def a_window(start: str, end: str, timezone: str = "Europe/Berlin") -> tuple[Window, ...]:
    return (Window(start, end, timezone),)


def berlin(text: str, fold: int = 0) -> datetime:
    """A moment in UTC from what a clock in Berlin shows; `fold` 1 is the second of the two hours in October."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


WEEKEND = a_window("FRI 16:00", "MON 08:00")


@pytest.mark.parametrize(
    ("moment", "is_closed"),
    [
        ("2026-01-09T15:59:59", False),  # Friday
        ("2026-01-09T16:00:00", True),
        ("2026-01-10T00:00:00", True),
        ("2026-01-11T23:59:59", True),  # Sunday, the week's last minute
        ("2026-01-12T00:00:00", True),
        ("2026-01-12T07:59:59", True),
        ("2026-01-12T08:00:00", False),
        ("2026-01-14T12:00:00", False),
    ],
)
def test_a_weekend_is_closed_from_its_first_minute_to_the_last_before_its_end(moment: str, is_closed: bool) -> None:
    assert (closed(WEEKEND, berlin(moment)) is not None) is is_closed


@pytest.mark.parametrize(
    ("moment", "is_closed"),
    [("2026-01-13T23:59:00", False), ("2026-01-14T00:00:00", True), ("2026-01-14T23:59:00", True),
     ("2026-01-15T00:00:00", False)],
)  # fmt: skip
def test_a_window_from_midnight_to_midnight_is_that_day_and_no_minute_more(moment: str, is_closed: bool) -> None:
    assert (closed(a_window("WED 00:00", "THU 00:00"), berlin(moment)) is not None) is is_closed


def test_the_sentence_names_the_window_and_its_zone() -> None:
    assert closed(WEEKEND, berlin("2026-01-10T12:00")) == "frozen from FRI 16:00 to MON 08:00 (Europe/Berlin)"


def test_any_window_closes_and_none_closes_nothing() -> None:
    both = WEEKEND + a_window("WED 10:00", "WED 11:00", "UTC")
    assert "WED 10:00" in (closed(both, datetime(2026, 1, 14, 10, 30, tzinfo=UTC)) or "")
    assert closed((), datetime(2026, 1, 10, 12, tzinfo=UTC)) is None


def test_the_days_are_those_of_the_windows_zone_and_not_of_utc() -> None:
    kiritimati = a_window("MON 00:00", "MON 06:00", "Pacific/Kiritimati")  # fourteen hours ahead
    assert closed(kiritimati, datetime(2026, 1, 11, 10, 0, tzinfo=UTC)) is not None  # still Sunday in London
    assert closed(kiritimati, datetime(2026, 1, 12, 0, 0, tzinfo=UTC)) is None


def test_the_answer_does_not_depend_on_the_zone_in_which_now_is_told() -> None:
    moment = berlin("2026-01-09T16:00")
    for zone in ("UTC", "America/New_York", "Asia/Tokyo", "Europe/Berlin"):
        assert closed(WEEKEND, moment.astimezone(ZoneInfo(zone))) is not None


@pytest.mark.parametrize("sunday", ["2026-03-29", "2026-10-25"])
def test_a_weekend_in_which_the_clocks_change_ends_at_eight_by_the_clock_all_the_same(sunday: str) -> None:
    monday = datetime.fromisoformat(sunday) + timedelta(days=1)
    friday = datetime.fromisoformat(sunday) - timedelta(days=2)
    assert closed(WEEKEND, berlin(f"{friday:%Y-%m-%d}T15:59")) is None
    assert closed(WEEKEND, berlin(f"{friday:%Y-%m-%d}T16:00")) is not None
    assert closed(WEEKEND, berlin(f"{monday:%Y-%m-%d}T07:59")) is not None
    assert closed(WEEKEND, berlin(f"{monday:%Y-%m-%d}T08:00")) is None


def minutes_closed(windows: tuple[Window, ...], first: datetime, hours: int) -> list[str]:
    """What a clock in Berlin shows in each closed minute."""
    moments = (first + timedelta(minutes=count) for count in range(60 * hours))
    return [f"{m.astimezone(BERLIN):%a %H:%M}" for m in moments if closed(windows, m)]


def test_a_start_in_the_hour_that_is_skipped_begins_when_that_hour_would_have() -> None:
    found = minutes_closed(a_window("SUN 02:30", "SUN 04:00"), berlin("2026-03-29T00:00"), 5)
    assert (found[0], found[-1], len(found)) == ("Sun 03:00", "Sun 03:59", 60)


def test_an_end_in_the_hour_that_is_skipped_ends_with_it() -> None:
    found = minutes_closed(a_window("SUN 01:30", "SUN 02:30"), berlin("2026-03-29T00:00"), 5)
    assert (found[0], found[-1], len(found)) == ("Sun 01:30", "Sun 01:59", 30)


def test_a_window_around_the_hour_that_is_shown_twice_is_closed_in_both() -> None:
    assert len(minutes_closed(a_window("SUN 01:00", "SUN 05:00"), berlin("2026-10-25T00:00"), 8)) == 5 * 60


def test_a_window_that_began_in_the_first_of_two_equal_hours_does_not_open_again_in_the_second() -> None:
    found = minutes_closed(a_window("SUN 02:30", "MON 08:00"), berlin("2026-10-25T00:00"), 8)
    assert found[0] == "Sun 02:30"
    assert len(found) == 8 * 60 - 2 * 60 - 30  # closed without a gap from then on


def test_a_window_that_ends_in_the_hour_shown_twice_has_ended_after_the_second_at_the_latest() -> None:
    windows = a_window("SUN 01:00", "SUN 02:30")
    assert closed(windows, berlin("2026-10-25T02:29", fold=1)) is not None
    assert closed(windows, berlin("2026-10-25T02:30", fold=1)) is None
    assert closed(windows, berlin("2026-10-25T03:00")) is None
