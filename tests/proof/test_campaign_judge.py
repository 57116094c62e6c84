"""The judge of campaigns is shown a campaign that went well, and then the same with one thing spoilt at a time."""

import json
from pathlib import Path

from localstack.waha_records import WantedMessage
from tests.proof.campaign_home import Letter, Mailroom, chat, mailroom
from tests.proof.campaign_judge import Judge
from tests.proof.nursery import nursery

FIRST = "UPDATE campaign_recipient SET %s WHERE position = 0"
STRAY_TIMER = (
    "INSERT INTO timer (id, type, data, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
    "VALUES ('campaign.step:9', 'campaign.step', '{}', 4000000000000, '', 0, 1, 0)"
)
# What is spoilt, how it is mended, and a word of the sentence in which it has to be told.
SPOILT = [
    (FIRST % "state = 'PENDING'", FIRST % "state = 'SENT'", "not over"),
    (FIRST % "state = 'FAILED'", FIRST % "state = 'SENT'", "FAILED, but WAHA has sent it"),
    (FIRST % "state = 'SKIPPED'", FIRST % "state = 'SENT'", "SKIPPED, but WAHA has sent it"),
    (FIRST % "state = 'UNKNOWN'", FIRST % "state = 'SENT'", "although nothing was in doubt"),
    (FIRST % "state = 'UNKNOWN'", FIRST % "state = 'SENT'", "could tell that it has sent it"),
    (FIRST % "state = 'UNKNOWN'", FIRST % "state = 'SENT'", "counted"),
    (FIRST % "chat_id = 'nobody@c.us'", FIRST % f"chat_id = '{chat(1)}'", "no recipients"),
    ("UPDATE campaign SET status = 'Running'", "UPDATE campaign SET status = 'Completed'", "it is Running"),
    (STRAY_TIMER, "DELETE FROM timer", "left in timer"),
]


def found(room: Mailroom, letter: Letter) -> str:
    """Everything that the judge says."""
    return "\n".join(Judge(room, lookups_work=True).violations(letter))


async def test_the_judge_tells_each_thing_that_is_spoilt(tmp_path: Path) -> None:
    """Rows, WAHA's record, what the robot was told and what is left: none can be wrong without a sentence."""
    async with (
        nursery() as children,
        mailroom(tmp_path / "robotd.db", tmp_path / "home", children) as room,
    ):
        letter = room.new_letter(await room.with_people(1))
        room.create(letter)
        await room.settle(letter)
        await room.kill(room.home.child)
        assert found(room, letter) == ""
        for spoil, mend, words in SPOILT:
            room.home.tables.rows(spoil)
            assert words in found(room, letter), spoil
            room.home.tables.rows(mend)
            assert found(room, letter) == "", mend
        queue = f"robot-queue-{letter.robot_id}"
        (end,) = [result for result in room.home.results(letter.robot_id) if result["type"] == "campaign.completed"]
        (sent,) = room.waha.records.accepted
        room.waha.records.accepted.clear()
        assert "SENT, but WAHA has it not" in found(room, letter)
        room.waha.records.accepted.extend([sent, sent])
        assert "DOUBLE SEND" in found(room, letter)
        room.waha.records.accepted.pop()
        room.waha.records.accept(WantedMessage("text", letter.session, chat(1), "who wrote this?"), sent.at_ms)
        assert "WAHA has texts that no letter is" in found(room, letter)
        room.waha.records.accepted.pop()
        room.home.sqs.send(queue, json.dumps({**end, "id": "another"}))
        assert "the end was told by" in found(room, letter)
