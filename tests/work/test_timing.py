"""Minutes and actual times, from events in any order."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.world import World, at
from tournee.kernel.entity import new_id
from tournee.kernel.times import AHEAD, BEHIND
from tournee.work.models import Appointment
from tournee.work.states import AppointmentStatus as A
from tournee.work.timing import LONGEST, Moment, is_suspect, local_day, times

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

SOMEBODY = uuid4()


def moment(to: A, minute: int, whose: UUID | None = SOMEBODY, *, suspect: bool = False) -> Moment:
    return Moment(new_id(), whose, None, to, at(minute), suspect)


VISIT = [
    moment(A.EN_ROUTE, 0),
    moment(A.ON_SITE, 25),
    moment(A.IN_PROGRESS, 30),
    moment(A.PAUSED, 60),
    moment(A.IN_PROGRESS, 75),
    moment(A.COMPLETED, 105),
]


@pytest.mark.parametrize("order", [VISIT, VISIT[::-1], VISIT[3:] + VISIT[:3], VISIT[1::2] + VISIT[::2]])
def test_minutes_do_not_depend_on_the_order_of_arrival(order: list[Moment]) -> None:
    found = times(order, over=True)
    assert (found.travel_minutes, found.work_minutes, found.break_minutes) == (25, 60, 15)
    assert (found.arrived_at, found.actual_start, found.actual_end) == (at(25), at(30), at(105))


def test_any_order_of_four_steps_gives_the_same_times() -> None:
    steps = [VISIT[0], VISIT[2], VISIT[3], VISIT[5]]
    assert len({times(shuffled, over=True) for shuffled in itertools.permutations(steps)}) == 1


def test_the_minutes_of_two_technicians_add_up() -> None:
    other = uuid4()
    both = [
        *VISIT,
        moment(A.EN_ROUTE, 10, other),
        moment(A.IN_PROGRESS, 40, other),
        moment(A.COMPLETED, 100, other),
    ]
    found = times(both, over=True)
    assert (found.travel_minutes, found.work_minutes, found.break_minutes) == (55, 120, 15)
    assert (found.actual_start, found.actual_end) == (at(30), at(105))


def test_a_later_cancellation_by_the_office_keeps_the_measured_time() -> None:
    assert times([*VISIT, moment(A.CANCELED, 40, None)], over=True) == times(VISIT, over=True)


def test_an_end_before_the_start_is_ignored() -> None:
    found = times([moment(A.IN_PROGRESS, 30), moment(A.COMPLETED, 10)], over=True)
    assert (found.actual_start, found.actual_end, found.work_minutes) == (at(30), None, 0)


def test_no_time_is_measured_between_a_wrong_and_a_right_clock() -> None:
    years = 3 * 366 * 24 * 60
    found = times([moment(A.IN_PROGRESS, -years, suspect=True), moment(A.COMPLETED, 60)], over=True)
    assert (found.work_minutes, found.actual_start) == (0, None)


def test_a_consistently_wrong_clock_still_measures_durations() -> None:
    years = 3 * 366 * 24 * 60
    steps = [moment(A.IN_PROGRESS, years, suspect=True), moment(A.COMPLETED, years + 45, suspect=True)]
    found = times(steps, over=True)
    assert (found.work_minutes, found.actual_start, found.actual_end) == (45, None, None)


def test_a_forgotten_step_does_not_count_as_years_of_work() -> None:
    steps = [moment(A.IN_PROGRESS, 0), moment(A.COMPLETED, 300 * 24 * 60)]
    assert times(steps, over=True).work_minutes == 0


@pytest.mark.parametrize(
    ("lasted", "minutes"),
    [(LONGEST, 7 * 24 * 60), (LONGEST + timedelta(seconds=1), 0)],
)
def test_a_step_counts_up_to_the_maximum_length_and_not_beyond(lasted: timedelta, minutes: int) -> None:
    start = moment(A.IN_PROGRESS, 0)
    end = Moment(new_id(), SOMEBODY, None, A.COMPLETED, start.at + lasted)
    assert times([start, end], over=True).work_minutes == minutes


def test_an_end_at_the_moment_of_the_start_counts() -> None:
    found = times([moment(A.IN_PROGRESS, 30), moment(A.COMPLETED, 30)], over=True)
    assert (found.actual_start, found.actual_end) == (at(30), at(30))


def test_an_end_without_a_start_counts() -> None:
    found = times([moment(A.ON_SITE, 0), moment(A.CANNOT_COMPLETE, 10)], over=True)
    assert (found.arrived_at, found.actual_start, found.actual_end) == (at(0), None, at(10))


def test_a_visit_under_way_has_no_end_whatever_was_recorded() -> None:
    assert times(VISIT, over=False).actual_end is None


def test_the_first_of_several_starts_and_the_last_of_several_ends_count() -> None:
    steps = [moment(A.IN_PROGRESS, 0), moment(A.COMPLETED, 10), moment(A.IN_PROGRESS, 20)]
    found = times([*steps, moment(A.COMPLETED, 30)], over=True)
    assert (found.actual_start, found.actual_end) == (at(0), at(30))


def test_no_time_is_measured_between_suspect_steps_and_a_sound_one_between_them() -> None:
    steps = [moment(A.IN_PROGRESS, 0, suspect=True), moment(A.PAUSED, 10), moment(A.COMPLETED, 30)]
    found = times(steps, over=True)
    assert (found.work_minutes, found.break_minutes) == (0, 20)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("when", "earlier", "suspect"),
    [
        (at(0) + AHEAD, [], False),
        (at(0) + AHEAD + SECOND, [], True),
        (at(0) - BEHIND, [], False),
        (at(0) - BEHIND - SECOND, [], True),
        (at(-10), [at(-10)], False),
        (at(-10), [at(-10) + SECOND], True),
        (at(-10), [at(-20), at(-5)], True),
        # An impossible earlier time proves nothing about a later one.
        (at(-10), [at(0) + AHEAD + SECOND], False),
        (at(-10), [at(0) + AHEAD], True),
    ],
)
def test_a_clock_is_suspect_only_beyond_its_bounds(
    when: datetime, earlier: list[datetime], suspect: bool
) -> None:
    assert is_suspect(when, at(0), earlier) is suspect


def test_a_visits_day_is_that_of_its_site_or_else_of_utc() -> None:
    late = datetime(2026, 6, 1, 23, 30, tzinfo=UTC)
    assert local_day(late, "Europe/Berlin") == date(2026, 6, 2)
    assert local_day(late, None) == date(2026, 6, 1)
    assert local_day(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo") == date.max


async def test_a_step_that_arrives_late_counts_at_its_own_time(world: World) -> None:
    """One technician has two devices: the tablet is online, the phone still has the break unsent."""
    technician = await world.technician()
    visit = await world.visit(technician)
    tablet = world.house.actor("TECHNICIAN", id=technician.actor.id, device_id=uuid4())
    base = await world.house.seq()
    for name, minute in (("startWork", 0), ("completeAppointment", 60)):
        await world.house.run(name, tablet, appointmentId=visit.id, at=at(minute))
    assert (await world.read(Appointment, visit.id)).work_minutes == 60
    await world.offline(
        technician.actor,
        base,
        ("pauseWork", {"appointmentId": visit.id, "at": at(20)}),
        ("resumeWork", {"appointmentId": visit.id, "at": at(35)}),
    )
    found = await world.read(Appointment, visit.id)
    assert (found.status, found.work_minutes, found.break_minutes) == (A.COMPLETED, 45, 15)
    assert found.actual_end == at(60)
    assert not any(event.clock_suspect for event in await world.events(visit))


@pytest.mark.parametrize("days", [2, -3 * 366, 365 * 70])
async def test_a_clock_that_is_years_off_is_flagged_and_never_refused(world: World, days: int) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    when = at(0) + timedelta(days=days)
    moved = await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=when)
    assert moved.status is A.EN_ROUTE
    (_, event) = await world.events(visit)
    assert (event.occurred_at, event.clock_suspect) == (when, True)


async def test_a_clock_that_jumps_back_on_one_device_is_flagged(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    await world.house.run("startWork", technician.actor, appointmentId=visit.id, at=at(30))
    ended = await world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(10))
    assert (ended.status, ended.actual_end) == (A.COMPLETED, None)
    assert [event.clock_suspect for event in await world.events(visit)] == [False, False, True]
