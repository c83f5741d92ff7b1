"""One seed: a world, its people, an unreliable network, and a judge that checks everything."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.simulator.backups import Backups
from tests.simulator.clock import Clock, running
from tests.simulator.crashes import TRAPS
from tests.simulator.device import Deed, Device
from tests.simulator.field import Fieldwork, desk_work
from tests.simulator.followers import Followers
from tests.simulator.judge import Judge
from tests.simulator.leaving import leave
from tests.simulator.network import Network
from tests.simulator.office import Office
from tests.simulator.regrets import Regrets
from tests.simulator.repairs import Repairs
from tests.simulator.reversals import Reversals
from tests.simulator.stage import Stage
from tests.simulator.trace import Trace
from tests.simulator.violations import Violation, require
from tests.simulator.world import Company
from tests.support.backups import new_epochs
from tournee.catalogue import COMMANDS
from tournee.engine.horizon import raise_floor
from tournee.people.jobs import move_windows
from tournee.sync.waiting.reviving import revive_waiting

STEPS = 90
ROUNDS = 6
# Much shorter than in production, so that devices return from beyond it.
HORIZON = timedelta(days=10)
PATIENCE = timedelta(days=30)


@dataclass
class Report:
    """The result of one seed."""

    seed: int
    hash: str = ""
    violation: Violation | None = None
    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class Simulation:
    """One run, determined entirely by the seed."""

    def __init__(self, stage: Stage, seed: int, clock: Clock, echo: bool = False) -> None:
        self.stage = stage
        self.dice = random.Random(f"simulation {seed}")
        self.clock = clock
        self._restored_at: datetime | None = None
        self.trace = Trace(echo)
        self.ours = Company(stage, clock, self.dice, "a0a0a0", technicians=3)
        self.theirs = Company(stage, clock, self.dice, "b0b0b0", technicians=1)
        self.judge = Judge([self.ours, self.theirs], self.trace)
        self.network = Network(stage, self.dice, self.judge.observe)
        self.offices = {c.mark: Office(c, self.network, self.dice) for c in self.judge.companies}
        self.repairs = Repairs(self, seed)
        self.backups = Backups(self, seed)
        self.reversals = Reversals(self, seed)
        self.regrets = Regrets(self, seed)
        self.followers = Followers(self, seed)
        self.step = 0

    async def run(self) -> None:
        await self.ours.begin()
        await self.theirs.begin()
        self.judge.read()
        self.fieldwork = {
            self.ours.mark: Fieldwork(self.dice, next(iter(self.theirs.chronicle.rows["WorkOrder"]))),
            self.theirs.mark: Fieldwork(self.dice, next(iter(self.ours.chronicle.rows["WorkOrder"]))),
        }
        for company in self.judge.companies:
            for device in company.devices():
                self.network.perfect = self.dice.random() < 0.8
                await self._pull(company, device, 1000)
        self.network.perfect = False
        self.followers.begin()
        for self.step in range(1, STEPS + 1):
            self.clock.advance(timedelta(seconds=self.dice.randint(1, 90)))
            await self.network.tick()
            await self._one_step()
            await self.repairs.step()
            await self.backups.step()
            await self.reversals.step()
            await self.regrets.step()
            await self.followers.step()
        await self._calm_down()
        await self.followers.end()
        self.judge.close()
        self.trace.add(f"ends at {self.ours.chronicle.seq} and {self.theirs.chronicle.seq}")

    async def _one_step(self) -> None:
        company = self.ours if self.dice.random() < 0.92 else self.theirs
        device = self.dice.choice(company.devices())
        choice = self.dice.random()
        if choice < 0.4:
            for _ in range(self.dice.choice([1, 1, 2, 3, 5])):
                self._work(company, device)
        elif choice < 0.56:
            await self.push(company, device)
        elif choice < 0.74:
            await self._pull(company, device, self.dice.choice([1, 2, 1000]))
        elif choice < 0.94:
            said = await self.offices[company.mark].work()
            self.judge.read()
            self.note(f"office: {said}")
        elif choice < 0.98:
            await self._pass_time()
        elif choice < 0.998:
            device.schema = 2
            await self._send_off(company)
        else:
            await self._restore_backup()

    def _work(self, company: Company, device: Device) -> None:
        if device.revoked:
            return
        person = next(person for person in company.everybody() if device in person.devices)
        if person is company.dispatcher:
            deeds = desk_work(self.dice, device)
        else:
            deeds = self.fieldwork[company.mark].work(person, device)
        for deed in deeds:
            if self.dice.random() < 0.02:
                TRAPS.bugs[deed.id] = self.dice.choice([1, 2])
                self.judge.will_crash(company, deed, TRAPS.bugs[deed.id])
        self.did(company, device, deeds)

    def did(self, company: Company, device: Device, deeds: list[Deed]) -> None:
        self.judge.did(company, deeds)
        self.judge.counts["operations"] += len(deeds)
        for deed in deeds:
            self.note(f"{device.name} does {deed.number} {deed.command} {deed.input} at {deed.base}")

    async def push(self, company: Company, device: Device) -> None:
        if not device.pending() and not device.wonders and self.dice.random() < 0.9:
            return
        self._sign_in(company, device)
        before = len(device.pending())
        await device.push(self.network)
        self.note(f"{device.name} pushes {before}, {len(device.pending())} wait")

    async def _pull(self, company: Company, device: Device, pages: int) -> None:
        self._sign_in(company, device)
        device.complete = False
        await device.pull(self.network, pages)
        if device.complete:
            self.judge.counts["pulls"] += 1
            self.judge.compare(company, device)
        self.note(
            f"{device.name} pulls, holds {len(device.rows())}{'' if device.complete else ', incomplete'}"
        )

    def _sign_in(self, company: Company, device: Device) -> None:
        """Return a token for the account's present role; renew an expired or outdated one."""
        person = next(person for person in company.everybody() if device in person.devices)
        issue = self.stage.apps[0].state.tokens.issue
        device.token = issue(company.actor(person, device))

    async def _pass_time(self) -> None:
        by = self.dice.choice(
            [timedelta(minutes=20), timedelta(hours=9), timedelta(days=1), timedelta(days=20)]
        )
        self.clock.advance(by)
        if self.dice.random() < 0.7:
            await move_windows(self.stage.apps[0].state.kernel, self.ours.id)
        if self.dice.random() < 0.3:
            await raise_floor(self.stage.database, self.ours.id, self.clock.at - HORIZON)
        self.judge.read()
        self.note(f"{by} pass")

    def begin_restoring(self) -> None:
        """Advance the clock: two restores never happen in one microsecond."""
        if self.clock.at == self._restored_at:
            self.clock.advance(timedelta(seconds=1))
        self._restored_at = self.clock.at

    async def _restore_backup(self) -> None:
        """Restore a complete backup; every copy begins anew all the same."""
        self.begin_restoring()
        await new_epochs(self.stage.database)
        self.stage.forget()
        self.judge.restored()
        for company in self.judge.companies:
            for device in company.devices():
                device.resync()
        self.note("a backup is restored")

    async def _send_off(self, company: Company) -> None:
        for device in company.devices():
            if device.revoked:
                done = await leave(company, device, self.network)
                self.note(f"{device.name} leaves{'' if done else ', not yet'}")

    async def _calm_down(self) -> None:
        """Heal the network: everything arrives, and every device pushes and pulls."""
        self.note("the network heals")
        await self.network.flush()
        self.network.perfect = True
        TRAPS.bugs.clear()
        self.repairs.deploy()
        for office in self.offices.values():
            await office.restore()
        # A server caches an account's standing for some seconds.
        self.clock.advance(timedelta(seconds=10))
        self.judge.read()
        for company in self.judge.companies:
            await self._send_off(company)
        if self.backups.happens:
            # A device that now learns that its copy is outdated may have work to resend.
            await self._pull_all()
        for _ in range(ROUNDS):
            await self._push_all()
        await self.repairs.decide_all()
        await self._go_on(self.clock.at - PATIENCE)
        self.judge.check_waiting()
        # No operation waits for ever.
        await self._go_on(datetime.max.replace(tzinfo=UTC))
        await self._push_all()
        await self._pull_all(settled=True)

    async def _go_on(self, patience: datetime) -> None:
        """Release waiting operations as housekeeping does."""
        for company in self.judge.companies:
            await revive_waiting(self.stage.apps[0].state.kernel, COMMANDS, company.id, patience)
        self.judge.read()

    async def _push_all(self) -> None:
        for company in self.judge.companies:
            for device in company.devices():
                if (device.pending() or device.wonders) and not device.revoked:
                    await self.push(company, device)

    async def _pull_all(self, *, settled: bool = False) -> None:
        for company in self.judge.companies:
            for device in company.devices():
                await self._pull(company, device, 1000)
                if not device.revoked and settled:
                    require(device.complete, "a pull over a good network completes", device.name)
                    deeds = self.judge.deeds[company.mark]
                    held = deeds.crashed | {id for id, times in deeds.bugs.items() if times}
                    waiting = [d.id for d in device.pending() if not {d.id, d.unit} & held]
                    require(
                        not waiting,
                        "an outbox empties over a good network",
                        f"{device.name}: {device.pending()}",
                    )

    def note(self, line: str) -> None:
        self.trace.add(f"{self.step:3} {self.clock.at:%m-%d %H:%M} {self.ours.chronicle.seq:4} {line}")


async def simulate(stage: Stage, seed: int, echo: bool = False) -> Report:
    """Run one seed and return its report with any violation; raise any other error."""
    TRAPS.disarm()
    TRAPS.clear()
    stage.forget()
    report = Report(seed)
    with running(Clock(seed)) as clock:
        simulation = Simulation(stage, seed, clock, echo)
        try:
            await simulation.run()
        except Violation as violation:
            report.violation = violation
        finally:
            await simulation.followers.drop_all()
    report.hash = simulation.trace.hash
    report.lines = simulation.trace.lines
    report.counts = simulation.judge.counts
    report.counts["requests"] = simulation.network.requests
    report.faults = simulation.network.faults
    return report
