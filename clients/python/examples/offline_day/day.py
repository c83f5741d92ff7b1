"""The day from morning to evening, and the checks at its end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import httpx2

from examples.offline_day.checks import Checks
from examples.offline_day.field import SUMMARY, Clock, Day
from examples.offline_day.office import PASSWORD, Office
from examples.offline_day.plan import make_plan
from tournee_client import Device, Offline, Outcome, Store
from tournee_client.testing import Fault, FlakyTransport

TECHNICIAN = "technician@demo.example"
COLLEAGUE = "technician2@demo.example"
DISPATCHER = "dispatcher@demo.example"


async def play(base_url: str, directory: Path) -> int:
    """Play the day; return 1 if any check failed, else 0."""
    print(f"The server is {base_url}.")
    network = FlakyTransport(httpx2.AsyncHTTPTransport())
    async with httpx2.AsyncClient(timeout=30.0, trust_env=False) as http:
        dispatcher, technician, colleague = (Office(base_url, http) for _ in range(3))
        for person, email in ((dispatcher, DISPATCHER), (technician, TECHNICIAN), (colleague, COLLEAGUE)):
            await person.sign_in(email)
        clock = Clock(datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=4))
        async with httpx2.AsyncClient(transport=network, timeout=30.0) as own:
            device = Device(base_url, Store(directory / "device.db"), own, clock=clock, name="demo device")
            fresh = Device(base_url, Store(directory / "fresh.db"), http, name="demo second device")
            day = await _morning(dispatcher, technician, colleague, device, clock)
            await _away(network, day)
            phone = await _meanwhile(dispatcher, day)
            await _return(network, day)
            checks = Checks(dispatcher, {p.account_id: p.email for p in (dispatcher, technician, colleague)})
            await checks.run(day, phone)
            await checks.compare(device, fresh, TECHNICIAN)
            await checks.tell_conflict(day)
            await checks.tell_log(day, phone)
            device.store.close()
            fresh.store.close()
    failed = sum(not passed for passed in checks.results)
    print(f"\n{len(checks.results)} checks, {failed} failed.")
    return 1 if failed else 0


async def _morning(
    dispatcher: Office, technician: Office, colleague: Office, device: Device, clock: Clock
) -> Day:
    print(f"\nIn the morning {DISPATCHER} plans two visits for {TECHNICIAN}, who pulls.")
    plan = await make_plan(dispatcher, technician, colleague, clock.time)
    await device.sign_in(TECHNICIAN, PASSWORD)
    print(f"  {len(await device.pull())} rows arrived, {len(device.all('Appointment'))} visits among them")
    return Day(device, clock, plan)


async def _away(network: FlakyTransport, day: Day) -> None:
    print("\nThe technician works without a network:")
    network.plan = repeat(Fault.DROP)
    await day.play()
    await _attempt(day.device, "push")
    visit = day.device.get("Appointment", day.plan.visit) or {}
    print(f"  {len(day.device.pending())} operations in the outbox; the visit is {visit.get('status')} here")


async def _meanwhile(dispatcher: Office, day: Day) -> str:
    print(f"\nMeanwhile {DISPATCHER}")
    phone = f"+33 1 00 {datetime.now(UTC):%H %M %S}"
    await dispatcher.do("updateCustomer", customerId=day.plan.customer_id, phone=phone)
    print(f"  changes the customer's phone number to {phone}")
    await dispatcher.do("updateAppointment", appointmentId=day.plan.visit, summary=SUMMARY)
    print(f"  changes the summary of the first visit to {SUMMARY!r}")
    other = {"appointmentId": day.plan.other_visit, "technicianId": day.plan.colleague_id}
    await dispatcher.do("reassignAppointment", **other)
    print(f"  gives the second visit to {COLLEAGUE}")
    return phone


async def _return(network: FlakyTransport, day: Day) -> None:
    print("\nThe device has a network again. It pushes; the answer is lost on the way:")
    network.plan = iter([Fault.LOSE])
    await _attempt(day.device, "push")
    print(f"  {len(day.device.pending())} operations still in the outbox\n\nIt pushes again:")
    _tell(day, await day.device.push())
    changes = await day.device.pull()
    gone = sum(change.removed for change in changes)
    print(f"\nIt pulls: {len(changes)} changes, {gone} of them removals.")


async def _attempt(device: Device, exchange: str) -> None:
    try:
        await getattr(device, exchange)()
    except Offline as offline:
        print(f"  {exchange}: {offline}")


def _tell(day: Day, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        seq = "-" if outcome.seq is None else outcome.seq
        line = f"  {day.done[outcome.id]:22} {outcome.status:10} seq {seq}"
        if outcome.code:
            line += f"  {outcome.code} {outcome.message}"
        if outcome.conflict:
            line += f"  conflict {outcome.conflict}"
        print(line)
