"""The page of the documentation that two benches write, each its own half."""

from pathlib import Path

_CAMPAIGNS = "## Campaigns"


def with_messages(file: Path, messages: str) -> str:
    """The page with this first half; what it says of campaigns stays."""
    _, campaigns = _halves(file)
    return f"{messages.rstrip()}\n\n{campaigns}" if campaigns else messages


def with_campaigns(file: Path, campaigns: str) -> str:
    """The page with this second half, without its heading; what it says of messages stays."""
    messages, _ = _halves(file)
    return f"{messages.rstrip()}\n\n{_CAMPAIGNS}\n\n{campaigns}".lstrip()


def _halves(file: Path) -> tuple[str, str]:
    messages, heading, campaigns = (file.read_text() if file.exists() else "").partition(f"{_CAMPAIGNS}\n")
    return messages, heading + campaigns
