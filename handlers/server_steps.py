"""The stages of a test of a delivery server: each talks to the world with nothing open, and says how the run goes on.

A neighbour of ours that can't be asked is an ERROR of the step that needed it; only `domain.server_run` decides what
follows from a finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from domain.delivery_server import DeliveryServer
from domain.errors import RuleViolation, Unavailable
from domain.mail_headers import Headers, check_headers, return_path_of
from domain.ports import UnitOfWork
from domain.server_checks import probe_mail, static_check, subject_of
from domain.server_ports import Arrived, FoundMail, TableMail
from domain.server_rules import CampaignWay
from domain.server_run import STEPS, ServerRun, Stage, Way, not_ours, seems_ours, worst
from domain.server_store import list_claim
from domain.server_test import ADVISORY, Finding, StepId, StepOutcome
from handlers.server_parts import ServerParts

_LOOK_S = 3.0  # a mail is mostly there by then; who waits for longer gives its slot away
_NEXT_SECOND_MS = 1_000
_SENT = "sent"
_Part = TypeVar("_Part")
_FAILED_SENDS = ("giveup", "error", "fatal-error")
_NOT_YET = ("temporary-error",)


@dataclass(frozen=True, slots=True)
class ServerSteps:
    """Takes one stage of one run."""

    parts: ServerParts

    async def take(self, run: ServerRun, uow: UnitOfWork) -> ServerRun:
        """Do what the run's stage asks for; what is claimed with it is collected in `uow`."""
        try:
            return await self._take(run, uow)
        except Unavailable as gone:
            step = STEPS[run.stage][0]
            found = [Finding(step, StepOutcome.ERROR, "unavailable", str(gone), may_pass_later=True)]
            return run.after(found, uow.present_ms, self.parts.rules)

    async def _take(self, run: ServerRun, uow: UnitOfWork) -> ServerRun:
        if run.stage is Stage.LOAD:
            return await self._load(run, uow)
        stages = {
            Stage.RESOLVE: self._resolve,
            Stage.DELIVER: self._deliver,
            Stage.CREATE: self._create,
            Stage.LOG: self._log,
            Stage.ARRIVAL: self._arrival,
            Stage.INTERACT: self._interact,
            Stage.BOUNCE: self._bounce,
        }
        return await stages[run.stage](run, _server(run), uow)

    async def _load(self, run: ServerRun, uow: UnitOfWork) -> ServerRun:
        """T0 and T1. The clock is read first: what is changed from here on is newer than the test."""
        mailwizz, rules = self.parts.at_mailwizz, self.parts.rules
        if run.way is Way.CAMPAIGN and not await self._may_have_list(run, uow):  # it waits: MailWizz needn't be asked
            return run.in_line(uow.present_ms, rules)
        started = await mailwizz.now()
        server = await mailwizz.server(run.server_id)
        if server is None:
            gone = Finding(StepId.LOAD, StepOutcome.ERROR, "gone", "MailWizz has no such server any more")
            return run.over([gone], uow.present_ms, rules)
        last = await mailwizz.last_test(server.id)
        if last is not None and last.started == started:  # two tests of one second could not be told apart
            return run.again_at(uow.present_ms + _NEXT_SECOND_MS)
        way, missing = self.parts.way_of(server, run.wish.way, dry_run=run.wish.dry_run)
        if way is None:
            return run.loading(server, started, run.wish.way).unable(missing, uow.present_ms)
        if way is Way.CAMPAIGN and not await self._claims_list(run, uow):
            return run.loading(server, started, way).in_line(uow.present_ms, rules)
        if self.parts.consequences.reset_quota and not run.wish.dry_run:
            await mailwizz.reset_quota(server.id)
        found = [Finding(StepId.LOAD, StepOutcome.PASS), static_check(server)]
        return run.loading(server, started, way).after(found, uow.present_ms, rules)

    async def _may_have_list(self, run: ServerRun, uow: UnitOfWork) -> bool:
        name = list_claim(_way(self.parts).addresses.list_id)
        return await uow.server_tests.holder(name) in (None, run.id)

    async def _claims_list(self, run: ServerRun, uow: UnitOfWork) -> bool:
        name = list_claim(_way(self.parts).addresses.list_id)
        holder = await uow.server_tests.holder(name)
        if holder is None:
            uow.server_tests.claim(name, run.id)
        return holder in (None, run.id)

    async def _resolve(self, run: ServerRun, server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        return await self._believed(run, [await _known(self.parts.probe).resolve(server)], uow)

    async def _deliver(self, run: ServerRun, _loaded: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """T3 to T6, with the password as it is now; a configuration that has changed is another test."""
        server = await self._fresh(run)
        if server is None:
            return run.reloaded(uow.present_ms, self.parts.rules)
        addresses = _known(self.parts.addresses)
        mail = probe_mail(server, run.token, addresses.recipient(run.token), addresses.envelope_from)
        found = await _known(self.parts.probe).deliver(server, self.parts.password_of(server), mail)
        return await self._believed(run, _whole(found), uow)

    async def _fresh(self, run: ServerRun) -> DeliveryServer | None:
        """The server with its password, None where it is not what was loaded any more."""
        server = await self.parts.at_mailwizz.server(run.server_id)
        return server if server is not None and server.fingerprint == run.fingerprint else None

    async def _believed(self, run: ServerRun, found: Sequence[Finding], uow: UnitOfWork) -> ServerRun:
        """Each time that a server is unreachable somebody else must be reachable: else not even a first try counts."""
        bad = run.fails(found, self.parts.rules)
        if bad is not None and seems_ours(bad):
            why = await _known(self.parts.probe).control()
            if why is not None:
                found = not_ours(found, why)
        return run.after(found, uow.present_ms, self.parts.rules)

    async def _create(self, run: ServerRun, server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """C1; a campaign that a crash left is found by its token."""
        campaigns, addresses = _known(self.parts.campaigns), _way(self.parts).addresses
        await campaigns.prepare(addresses)
        subject = subject_of(server, run.token)
        campaign_id = await campaigns.create(server, addresses, subject, run.token)
        found = [Finding(StepId.CAMPAIGN, StepOutcome.PASS, "created", f"campaign {campaign_id}")]
        return replace(run, campaign_id=campaign_id).after(found, uow.present_ms, self.parts.rules)

    async def _log(self, run: ServerRun, _server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """C2: MailWizz's own word of the send, long before anything could arrive."""
        campaigns, addresses = _known(self.parts.campaigns), _way(self.parts).addresses
        progress = await campaigns.progress(run.campaign_id or 0, addresses)
        now_ms, rules = uow.present_ms, self.parts.rules
        delivery = progress.delivery
        if delivery is None or (delivery.status in _NOT_YET and delivery.server_id == run.server_id):
            if not run.is_late(now_ms, rules):
                return run.waiting(now_ms, rules)
            what = f"the campaign is {progress.status}: does MailWizz's cron run?"
            return run.over([Finding(StepId.DELIVERY_LOG, StepOutcome.ERROR, "not-sent", what)], now_ms, rules)
        if delivery.server_id != run.server_id:
            what = f"MailWizz sent it through server {delivery.server_id}"
            return run.over([Finding(StepId.DELIVERY_LOG, StepOutcome.ERROR, "not-isolated", what)], now_ms, rules)
        if delivery.status == "success":
            return run.after([Finding(StepId.DELIVERY_LOG, StepOutcome.PASS)], now_ms, rules)
        outcome = StepOutcome.FAIL if delivery.status in _FAILED_SENDS else StepOutcome.ERROR
        return run.over([Finding(StepId.DELIVERY_LOG, outcome, delivery.status, delivery.message)], now_ms, rules)

    async def _arrival(self, run: ServerRun, server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """T7, and of the mail in hand T8 to T14."""
        rules = self.parts.rules
        if self._is_by_table(run):
            table = await _known(self.parts.campaigns).mail(run.token, run.started)
            found = None if table is None else self._of_table(run, server, table)
        else:
            mail = await _known(self.parts.mailbox).find(run.token, wait_s=_LOOK_S)
            found = None if mail is None else await self._of_mail(run, server, mail)
        if found is not None:
            return run.after(found, uow.present_ms, rules)
        if run.is_late(uow.present_ms, rules):
            return run.over([await self._missing(run)], uow.present_ms, rules)
        return (await self._with_canary(run)).waiting(uow.present_ms, rules)

    def _is_by_table(self, run: ServerRun) -> bool:
        return run.way is Way.CAMPAIGN and _way(self.parts).by_table

    def _of_table(self, run: ServerRun, server: DeliveryServer, mail: TableMail) -> list[Finding]:
        wanted = run.advisory(self.parts.rules)
        found = [_arrived(None), self._sender(mail.headers, server)]
        return found + _unchecked(wanted, "the table of mails holds headers alone")

    async def _of_mail(self, run: ServerRun, server: DeliveryServer, mail: FoundMail) -> list[Finding]:
        found = [_arrived(mail), self._sender(mail.raw, server)]
        wanted = run.advisory(self.parts.rules)
        if self.parts.checks is None:
            return found + _unchecked(wanted, "the extra `mail` is not installed")
        if wanted:
            by_campaign = run.way is Way.CAMPAIGN  # then the envelope is MailWizz's: its bounce server's address
            sender = return_path_of(mail.raw) if by_campaign else _known(self.parts.addresses).envelope_from
            arrived = Arrived(mail, server, sender, by_campaign)
            found += [one for one in await self.parts.checks.check(arrived) if one.step in wanted]
        return found

    def _sender(self, mail: bytes | Headers, server: DeliveryServer) -> Finding:
        return check_headers(mail, server, sender_required=self.parts.rules.needs_sender)

    async def _with_canary(self, run: ServerRun) -> ServerRun:
        """A mail that is not there at once may be lost, or the mailbox is broken: a canary will tell."""
        if self.parts.canary is None or run.canary == _SENT:
            return run
        problem = await self.parts.canary.send(run.canary_token)
        return replace(run, canary=_SENT if problem is None else problem)

    async def _missing(self, run: ServerRun) -> Finding:
        """T7 at its limit: only a canary that did arrive makes it the server's fault."""
        if run.canary != _SENT:
            why = run.canary or "no canary is configured"
            return Finding(StepId.ARRIVAL, StepOutcome.ERROR, "nobody-knows", f"it has not arrived; {why}")
        if self._is_by_table(run):
            canary = await _known(self.parts.campaigns).mail(run.canary_token, run.started) is not None
        else:
            canary = await _known(self.parts.mailbox).find(run.canary_token, wait_s=0) is not None
        if not canary:
            what = "neither it nor the canary has arrived: look at the mailbox"
            return Finding(StepId.ARRIVAL, StepOutcome.ERROR, "mailbox", what)
        return Finding(StepId.ARRIVAL, StepOutcome.FAIL, "lost", "it was accepted and has not arrived; the canary has")

    async def _interact(self, run: ServerRun, _server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """T15: what a person would do is done once, by us or by whom MailWizz's operators have for it."""
        rules, reader, mailbox = self.parts.rules, self.parts.reader, self.parts.mailbox
        if reader is not None and mailbox is not None and not run.is_read and not _way(self.parts).by_table:
            mail = await mailbox.find(run.token, wait_s=_LOOK_S)
            if mail is not None:
                done = await reader.interact(mail)
                if done.outcome is not StepOutcome.PASS:
                    return run.after([done], uow.present_ms, rules)
                run = replace(run, is_read=True)
        seen = await _known(self.parts.campaigns).interactions(run.campaign_id or 0)
        counts = {"open": seen.opens, "click": seen.clicks, "unsubscribe": seen.unsubscribes}
        missing = [name for name, count in counts.items() if not count]
        what = f"MailWizz has counted no {', '.join(missing)}" if missing else ""
        return self._counted(run, StepId.INTERACTIONS, what, uow)

    async def _bounce(self, run: ServerRun, server: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """T16."""
        if run.way is Way.CAMPAIGN:
            seen = await _known(self.parts.campaigns).interactions(run.campaign_id or 0)
            return self._counted(run, StepId.BOUNCE, "" if seen.bounces else "MailWizz has counted no bounce", uow)
        return await self._direct_bounce(run, server, uow)

    def _counted(self, run: ServerRun, step: StepId, missing: str, uow: UnitOfWork) -> ServerRun:
        now_ms, rules = uow.present_ms, self.parts.rules
        if not missing:
            return run.after([Finding(step, StepOutcome.PASS)], now_ms, rules)
        if not run.is_late(now_ms, rules):
            return run.waiting(now_ms, rules)
        return run.over([Finding(step, StepOutcome.FAIL, "missing", missing)], now_ms, rules)

    async def _direct_bounce(self, run: ServerRun, _loaded: DeliveryServer, uow: UnitOfWork) -> ServerRun:
        """A mail to an address that takes none comes back to its envelope's sender."""
        addresses, rules = _known(self.parts.addresses), self.parts.rules
        if addresses.refusing is None:
            skipped = Finding(StepId.BOUNCE, StepOutcome.SKIP, "not-configured", "mail.refusing_address is not set")
            return run.after([skipped], uow.present_ms, rules)
        if not run.is_bounce_sent:
            server = await self._fresh(run)
            if server is None:
                return run.reloaded(uow.present_ms, rules)
            mail = probe_mail(server, run.bounce_token, addresses.refusing, addresses.envelope_from)
            found = await _known(self.parts.probe).deliver(server, self.parts.password_of(server), mail)
            bad = worst(_whole(found), {one.step for one in found} | {StepId.SEND})
            if bad is not None:
                refused = Finding(StepId.BOUNCE, StepOutcome.WARN, "refused", f"it was not accepted: {bad.detail}")
                return run.after([refused], uow.present_ms, rules)
            run = replace(run, is_bounce_sent=True)
        mail_back = await _known(self.parts.mailbox).find_bounce(run.bounce_token, wait_s=_LOOK_S)
        return self._counted(run, StepId.BOUNCE, "" if mail_back else "it was accepted and never returned", uow)


def _server(run: ServerRun) -> DeliveryServer:
    return _known(run.loaded)


def _way(parts: ServerParts) -> CampaignWay:
    return _known(parts.campaign_way)


def _known(part: _Part | None) -> _Part:
    if part is None:
        raise RuleViolation("a part that this way of testing needs is not configured any more", kind="servers-off")
    return part


def _whole(found: Sequence[Finding]) -> Sequence[Finding]:
    """A talk that ended nowhere, without saying why, must not look like a success."""
    ends = any(one.step is StepId.SEND or one.outcome in (StepOutcome.FAIL, StepOutcome.ERROR) for one in found)
    nowhere = Finding(StepId.SEND, StepOutcome.ERROR, "unknown", "the probe came to no end", may_pass_later=True)
    return found if ends else [*found, nowhere]


def _arrived(mail: FoundMail | None) -> Finding:
    if mail is not None and mail.is_junk:
        return Finding(StepId.ARRIVAL, StepOutcome.WARN, "junk", f"it lies in {mail.folder}")
    return Finding(StepId.ARRIVAL, StepOutcome.PASS)


def _unchecked(wanted: frozenset[StepId], why: str) -> list[Finding]:
    return [Finding(step, StepOutcome.SKIP, "not-configured", why) for step in ADVISORY if step in wanted]
