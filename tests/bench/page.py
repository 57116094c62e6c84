"""The page of the documentation that three benches write, each its own part."""

from pathlib import Path

_HEADINGS = ("## Campaigns", "## Delivery servers")


def with_messages(file: Path, messages: str) -> str:
    """The page with this first part; what the others say stays."""
    return _joined({**_parts(file), "": messages})


def with_campaigns(file: Path, campaigns: str) -> str:
    """The page with this second part, without its heading."""
    return _joined({**_parts(file), _HEADINGS[0]: campaigns})


def with_servers(file: Path, servers: str) -> str:
    """The page with this third part, without its heading."""
    return _joined({**_parts(file), _HEADINGS[1]: servers})


def _parts(file: Path) -> dict[str, str]:
    """By heading; the first part has none."""
    found, heading = {"": ""}, ""
    for line in (file.read_text() if file.exists() else "").splitlines():
        if line in _HEADINGS:
            heading = line
            found[heading] = ""
        else:
            found[heading] += f"{line}\n"
    return found


def _joined(parts: dict[str, str]) -> str:
    wanted = [(heading, parts.get(heading, "").strip()) for heading in ("", *_HEADINGS)]
    return "\n\n".join(f"{heading}\n\n{text}".strip() for heading, text in wanted if text) + "\n"
