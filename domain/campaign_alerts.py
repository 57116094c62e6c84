"""The alerts of campaigns: those that a person has to know of, because sending has stopped."""

from domain.alerts import Alert, Severity
from domain.campaign import Campaign
from domain.number_breaker import Stop
from domain.sending import PauseReason

NUMBER_QUIET_S = 900  # campaigns of one number stop together, and one that heals may stop again soon
_OF_THE_CAMPAIGN = (PauseReason.MEDIA, PauseReason.PLACEHOLDERS)


def paused_alert(campaign: Campaign, stop: Stop) -> Alert | None:
    """What to tell of a pause: once for each number and reason in a quarter of an hour; nothing if a user wanted it."""
    if stop.reason is PauseReason.OPERATOR:
        return None
    subject = f"campaign-{campaign.id}" if stop.reason in _OF_THE_CAMPAIGN else f"session-{campaign.session}"
    heals = stop.reason.heals_by_itself
    return Alert(
        key=f"campaign-paused {subject} {stop.reason}",
        title=f"Campaigns of {campaign.session} are paused: {stop.reason}",
        text=f"{stop.detail}\n{'They go on by themselves.' if heals else 'They wait for campaign.resume.'}",
        severity=Severity.WARNING if heals else Severity.ERROR,
        fields=_fields(campaign),
        quiet_s=NUMBER_QUIET_S,
    )


def failed_alert(campaign: Campaign, detail: str | None) -> Alert:
    """What to tell of a campaign that has ended as Failed, each time that it does."""
    return Alert(
        key=f"campaign-failed {campaign.id} {campaign.notices}",
        title=f"A campaign of {campaign.session} has failed",
        text=detail or "",
        severity=Severity.ERROR,
        fields=_fields(campaign),
    )


def silent_alert(session: str, detail: str, day: int) -> Alert:
    """What to tell of texts that reach no phone: one for each number and day, counted in days since 1970."""
    return Alert(
        key=f"campaign-silent session-{session} {day}",
        title=f"Texts of {session} reach no phone",
        text=f"{detail}\nRest the number, or look at the relay that brings acknowledgements.",
    )


def _fields(campaign: Campaign) -> tuple[tuple[str, str | int], ...]:
    return (("campaign", campaign.id), ("name", campaign.name), ("user", campaign.owner))
