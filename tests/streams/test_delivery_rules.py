"""The schedule, Retry-After, and the lane of an endpoint: pure rules."""

from datetime import UTC, datetime

import pytest

from streams.delivery_rules import (
    LANE_MAX,
    LANE_START,
    OPEN_AFTER,
    OPEN_MAX_S,
    OPEN_S,
    SCHEDULE_S,
    Lane,
    Reply,
    Verdict,
    judge,
    read_retry_after,
)

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
OK, BROKEN = Reply(status=200), Reply(status=500)


def test_the_schedule_is_that_of_the_specification() -> None:
    waits = [judge(BROKEN, tries, pace=1.0, chance=0.5).delay_s for tries in range(1, 10)]
    assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert sum(SCHEDULE_S) == 75 * 3600 + 35 * 60 + 5
    assert judge(BROKEN, 10, pace=1.0, chance=0.5) == Verdict("exhausted")


def test_delays_have_jitter_and_a_pace() -> None:
    assert [judge(BROKEN, 2, pace=0.1, chance=chance).delay_s for chance in (0.0, 1.0)] == pytest.approx([27.0, 33.0])


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((code, "delivered") for code in (200, 201, 202, 204, 299)),
        *((code, "failed") for code in (None, 101, 199, 300, 301, 304, 307, 400, 401, 404, 429, 500, 502, 504, 599)),
        (410, "gone"),
    ],
)
def test_what_a_status_means(status: int | None, result: str) -> None:
    assert judge(Reply(status=status), 1, pace=1.0, chance=0.5).result == result


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0", 0),
        ("999999999999", 86_400),
        ("Wed, 25 Nov 2026 12:02:00 GMT", 120),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("Wed, 25 Nov 2099 11:00:00 GMT", 86_400),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


def test_retry_after_only_makes_it_later() -> None:
    asks = [judge(Reply(status=503, retry_after_s=s), 2, pace=1.0, chance=0.5).delay_s for s in (10.0, 4000.0)]
    assert asks == [300, 4000]


def used(lane: Lane, reply: Reply, now: float = 0.0) -> None:
    lane.begun()
    lane.ended(reply, now)


def test_a_lane_grows_with_success_and_shrinks_with_failure() -> None:
    lane = Lane()
    assert lane.free(0) == LANE_START
    lane.begun()
    assert lane.free(0) == LANE_START - 1
    lane.ended(OK, 0)
    assert lane.free(0) == LANE_START + 1
    for _ in range(50):
        used(lane, OK)
    assert lane.free(0) == LANE_MAX
    used(lane, BROKEN)
    assert lane.free(0) == LANE_MAX // 2


def test_a_lane_that_fails_is_left_alone_then_probed() -> None:
    lane = Lane()
    for _ in range(OPEN_AFTER):
        assert lane.free(0) > 0
        used(lane, BROKEN)
    assert (lane.free(0), lane.free(OPEN_S - 1), lane.free(OPEN_S)) == (0, 0, 1)
    lane.begun()
    assert lane.free(OPEN_S) == 0
    lane.ended(BROKEN, OPEN_S)
    assert (lane.free(3 * OPEN_S - 1), lane.free(3 * OPEN_S)) == (0, 1)
    for _ in range(2000):
        used(lane, BROKEN, 100)
    assert lane.free(100 + OPEN_MAX_S) == 1
    used(lane, OK, 1000)
    assert lane.free(1000) == 2


def test_a_lane_waits_as_long_as_it_is_asked_to_but_not_for_ever() -> None:
    lane = Lane()
    used(lane, Reply(status=429, retry_after_s=60))
    assert (lane.free(59), lane.free(60)) == (0, 2)
    used(lane, Reply(status=429, retry_after_s=86_400), 100)
    assert lane.free(3700) == 1
