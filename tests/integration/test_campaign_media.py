"""Campaigns that send a file: what WAHA gets, how often the file is read, and what happens where it can't be sent."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from daemon import media
from domain.wire import iso
from localstack.faults import When
from localstack.waha import Trouble, TroubleKind
from tests.integration.sending import DAY_MS, DEAD_LETTERS, HOUR_MS, MINUTE_MS, ROBOT, Opens, Sending, chats
from tests.world import MORNING_MS

LIMIT = 10 * 1024 * 1024
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))
FILES = {
    "a.jpeg": (JPEG, "image", "image/jpeg"),
    "a.png": (b"\x89PNG\r\n\x1a\n" + bytes(64), "image", "image/png"),
    "old.gif": (b"GIF87a" + bytes(64), "image", "image/gif"),
    "new.gif": (b"GIF89a" + bytes(64), "image", "image/gif"),
    "a.webp": (b"RIFF\x40\x00\x00\x00WEBPVP8 " + bytes(64), "image", "image/webp"),
    "a.mp4": (b"\x00\x00\x00\x18ftypmp42" + bytes(64), "video", "video/mp4"),
    "a.webm": (b"\x1aE\xdf\xa3" + bytes(64), "video", "video/webm"),
    "a-name-proves-nothing.txt": (JPEG, "image", "image/jpeg"),
}


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the content of each file was read, by its name."""
    counted: Counter[str] = Counter()
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        counted[path.name] += 1
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return counted


@pytest.mark.parametrize("name", FILES)
async def test_a_file_goes_to_everybody_with_the_text_as_its_caption(
    opens: Opens, media_folder: Path, name: str
) -> None:
    """Each kind byte for byte to its own address, with the person's name in the caption; the kind is by the content."""
    content, kind, mime_type = FILES[name]
    put(media_folder, name, content)
    async with opens(3, "Look, {name}", mediaFile=name) as sending:
        await sending.later(HOUR_MS)
        taken = [
            (message.chat_id, message.text, message.kind, message.mime_type, message.filename, message.media_sha256)
            for message in sending.waha.accepted
        ]
        sha256 = hashlib.sha256(content).hexdigest()
        people = zip(chats(range(3)), ("N0", "N1", "N2"), strict=True)
        assert taken == [(chat_id, f"Look, {who}", kind, mime_type, name, sha256) for chat_id, who in people]
        assert await sending.states() == ["SENT"] * 3
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_file_is_read_and_encoded_once_for_a_whole_run(
    opens: Opens, media_folder: Path, reads: Counter[str]
) -> None:
    """Bug 5: not once per contact; and a new content under the same name is sent from then on."""
    put(media_folder, "a.png", FILES["a.png"][0])
    async with opens(6, mediaFile="a.png") as sending:
        await sending.until_accepted(4)
        assert reads["a.png"] == 1
        newer = FILES["a.png"][0] + b"newer"
        put(media_folder, "a.png", newer)
        os.utime(media_folder / "a.png", (1, 1))
        await sending.later(HOUR_MS)
        hashes = [message.media_sha256 for message in sending.waha.accepted]
        assert hashes[4:] == [hashlib.sha256(newer).hexdigest()] * 2
        assert len(set(hashes[:4])) == 1
        assert reads["a.png"] == 2


BROKEN = {
    "vanished": None,
    "too large": JPEG + bytes(LIMIT),
    "not media": b"%PDF-1.7\n" + bytes(64),
    "empty": b"",
}


def spoil(folder: Path, content: bytes | None) -> None:
    (folder / "a.jpeg").unlink(missing_ok=True)
    if content is not None:
        put(folder, "a.jpeg", content)


async def is_paused_for_its_file(sending: Sending, handled: int, total: int) -> None:
    """Paused with MEDIA at the contact `handled`, and nobody after it was touched; hours change nothing."""
    await sending.later(DAY_MS)
    assert await sending.campaign() == ("Paused", "MEDIA")
    assert await sending.states() == ["SENT"] * handled + ["PENDING"] * (total - handled)
    assert [attempt for _, _, attempt in await sending.ledger()][handled:] == [0] * (total - handled)
    paused = sending.last("campaign.paused")
    assert (paused["lastProcessedContactIndex"], paused["failedCount"]) == (handled, 0)
    assert "a.jpeg" in paused["detail"]


@pytest.mark.parametrize("case", BROKEN)
async def test_a_file_that_is_spoilt_before_the_start_burns_nobody(opens: Opens, media_folder: Path, case: str) -> None:
    """Bug 5: two hundred contacts failed in a moment; here none is touched, and all get it once the file is back."""
    put(media_folder, "a.jpeg", JPEG)
    async with opens(4, mediaFile="a.jpeg", scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        spoil(media_folder, BROKEN[case])
        await is_paused_for_its_file(sending, 0, 4)
        spoil(media_folder, JPEG)
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert {message.media_sha256 for message in sending.waha.accepted} == {hashlib.sha256(JPEG).hexdigest()}
        assert sending.changes() == ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"]


@pytest.mark.parametrize("case", BROKEN)
async def test_a_file_that_is_spoilt_in_the_middle_pauses_there(opens: Opens, media_folder: Path, case: str) -> None:
    """Bug 5 and the index: it stops at the next contact, and goes on exactly there."""
    put(media_folder, "a.jpeg", JPEG)
    async with opens(4, mediaFile="a.jpeg") as sending:
        await sending.until_accepted(2)
        spoil(media_folder, BROKEN[case])
        await is_paused_for_its_file(sending, 2, 4)
        await sending.ask("resume")
        await sending.later(MINUTE_MS)
        assert await sending.campaign() == ("Paused", "MEDIA")
        spoil(media_folder, JPEG)
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert [attempt for _, _, attempt in await sending.ledger()] == [1] * 4
        assert await sending.states() == ["SENT"] * 4


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (None, "no-media", "can't be read"),
        (JPEG + bytes(LIMIT - len(JPEG) + 1), "bad-media", "more than 10 MB"),
        (b"%PDF-1.7\n", "bad-media", "no JPEG, PNG, GIF, WebP, MP4 or WebM"),
    ],
)
async def test_a_campaign_with_a_file_that_can_t_be_sent_is_refused(
    opens: Opens, media_folder: Path, content: bytes | None, kind: str, says: str
) -> None:
    """At creation, with the reason: no campaign is made, nothing is asked of WAHA."""
    spoil(media_folder, content)
    async with opens(2, mediaFile="a.jpeg") as sending:
        await sending.later(HOUR_MS)
        (letter,) = sending.home.sqs.messages(DEAD_LETTERS)
        (told,) = sending.home.results(ROBOT)
        assert (letter.attributes["errorKind"], told["payload"]["kind"]) == (kind, kind)
        assert says in told["payload"]["error"]
        assert await sending.home.database.fetch("SELECT COUNT(*) FROM campaign") == [(0,)]
        assert list(sending.waha.requests) == []


async def test_a_file_of_exactly_ten_megabytes_is_sent(opens: Opens, media_folder: Path) -> None:
    """The limit itself is allowed; byte for byte through WAHA's own limit of a body."""
    content = JPEG + bytes(LIMIT - len(JPEG))
    put(media_folder, "a.jpeg", content)
    assert media.MAX_BYTES == LIMIT
    async with opens(1, mediaFile="a.jpeg") as sending:
        await sending.later(HOUR_MS)
        (message,) = sending.waha.accepted
        assert message.media_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["../a.jpeg", "/etc/passwd", "sub/a.jpeg", ".hidden.jpeg", "a b.jpeg", ""])
async def test_a_file_outside_of_the_folder_has_no_name(opens: Opens, media_folder: Path, name: str) -> None:
    """A name is one word within the folder: whatever could lead elsewhere is refused before anything is read."""
    put(media_folder.parent, "a.jpeg", JPEG)
    async with opens(1, mediaFile=name) as sending:
        (letter,) = sending.home.sqs.messages(DEAD_LETTERS)
        assert letter.attributes["errorKind"] == "invalid-data"
        assert await sending.home.database.fetch("SELECT COUNT(*) FROM campaign") == [(0,)]


@pytest.mark.parametrize("kind", [TroubleKind.TOO_LARGE, TroubleKind.FILE_NOT_FOUND])
async def test_a_file_that_waha_does_not_take_pauses(opens: Opens, media_folder: Path, kind: TroubleKind) -> None:
    """WAHA's own refusal of a file would meet every other contact too: the contact is kept, and gets it afterwards."""
    put(media_folder, "a.jpeg", JPEG)
    async with opens(3, mediaFile="a.jpeg", scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.script.add(Trouble(kind, times=1))
        await sending.later(HOUR_MS)
        assert await sending.campaign() == ("Paused", "MEDIA")
        assert await sending.states() == ["PENDING"] * 3
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.states() == ["SENT"] * 3


async def test_a_file_whose_answer_is_lost_is_not_sent_again(opens: Opens, media_folder: Path) -> None:
    """WAHA takes no id with a file, so nobody can look: that contact is UNKNOWN and shown, the others get theirs."""
    put(media_folder, "a.jpeg", JPEG)
    async with opens(3, mediaFile="a.jpeg", scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.faults.reset("sendImage", times=1, when=When.AFTER)
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.states() == ["UNKNOWN", "SENT", "SENT"]
        assert sending.last("campaign.completed")["unknownCount"] == 1
