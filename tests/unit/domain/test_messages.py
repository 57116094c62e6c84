"""The wire models: what the reader of a refusal sees, and ids that repeat with their cause."""

import pytest
from pydantic import ValidationError

from daemon.delivery import Identity
from domain.contact_messages import AddOptOut
from domain.messages import CreateStatusCheck, Envelope, Result, error_result, problems_of, reply_id, result_to


def refused(content: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as error:
        CreateStatusCheck.model_validate(content)
    return problems_of(error.value)


def test_every_problem_is_named_with_its_path_and_no_value() -> None:
    """A person sees which fields are wrong; what stood in them is not repeated, it may be personal."""
    told = refused({"robotId": "061", "stepId": 1, "scheduledId": 2, "scriptVersionId": 3, "name": "Mrs X"})
    assert told == (
        "robotId: Input should be a valid integer; plannedAt: Field required; name: Extra inputs are not permitted"
    )


def test_a_flood_of_problems_is_bounded() -> None:
    """A thousand unknown fields with long names: ten are named, shortened, the others counted."""
    told = refused({f"{'x' * 500}{number}": 1 for number in range(1000)})
    assert told.endswith("; and 995 more")
    assert len(told) < 1500


def test_a_time_with_another_zone_is_the_same_moment() -> None:
    """10:40 in Amsterdam's summer is 08:40 UTC; JSON writes it as the neighbours do."""
    content = {
        "robotId": 1,
        "stepId": 1,
        "scheduledId": 2,
        "scriptVersionId": 3,
        "plannedAt": "2025-07-25T10:40:00+02:00",
    }
    check = CreateStatusCheck.model_validate(content)
    assert check.model_dump(mode="json", by_alias=True)["plannedAt"] == "2025-07-25T08:40:00.000Z"


def test_the_envelope_takes_what_cloudevents_allows_and_no_more() -> None:
    """Optional context attributes are accepted; another field is not."""
    content = {
        "specversion": "1.0",
        "id": "1",
        "source": "/tasks",
        "type": "t",
        "time": "2025-11-25T08:40:00Z",
        "data": {},
        "subject": "robot",
        "datacontenttype": "application/json",
        "dataschema": "urn:x",
        "callref": "a b",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    assert Envelope.model_validate(content).callref == "a b"
    with pytest.raises(ValidationError):
        Envelope.model_validate({**content, "extension": 1})


def test_the_id_of_an_answer_belongs_to_its_question() -> None:
    """The same question, the same id; another source or id, another one; blanks can't be shifted between the two."""
    assert reply_id("a", "b") == reply_id("a", "b")
    assert len({reply_id("a", "b"), reply_id("b", "a"), reply_id("a", "c"), reply_id("ab", "")}) == 4
    told = error_result(Identity(robot_id=7), ("t", "a", "b"), "kind", "reason", "ref")
    assert told is not None
    assert (told.id, told.robot_id, told.type, told.call_ref) == (reply_id("a", "b"), 7, "error", "ref")


def test_a_result_goes_to_one_place_or_is_none() -> None:
    """To the robot where one is named, else to the queue; nobody named, no result; both or neither can't be made."""
    queue = result_to(Identity(reply_to="answers"), "r-1", "t", {"x": 1}, "ref", link="/x")
    assert queue == Result(None, "r-1", "t", "/x", {"x": 1}, "ref", "answers")
    assert result_to(Identity(robot_id=7, reply_to="answers"), "r-1", "t", {}, None) == Result(7, "r-1", "t", "", {})
    assert result_to(Identity(), "r-1", "t", {}, None) is None
    assert error_result(Identity(), ("t", "a", "b"), "kind", "reason", None) is None
    for robot_id, reply_to in ((None, None), (7, "answers")):
        with pytest.raises(ValueError, match="either a robot or a reply queue"):
            Result(robot_id, "r-1", "t", "", {}, None, reply_to)


@pytest.mark.parametrize(
    ("addressee", "problem"),
    [
        ({"replyTo": "answers-1_b"}, ""),
        ({"robotId": 7}, ""),
        ({"robotId": 7, "replyTo": "answers"}, "an answer goes to one place: name either robotId or replyTo"),
        ({"replyTo": "https://queue"}, "replyTo: String should match pattern"),
        ({"replyTo": ""}, "replyTo: String should match pattern"),
        ({"replyTo": "q" * 81}, "replyTo: String should match pattern"),
        ({"replyTo": 7}, "replyTo: Input should be a valid string"),
    ],
)
def test_a_command_names_a_robot_or_a_queue(addressee: dict[str, object], problem: str) -> None:
    """Not both, and a queue by its name alone."""
    said = ""
    try:
        AddOptOut.model_validate({"phoneNumber": "999000000001", **addressee})
    except ValidationError as error:
        said = problems_of(error)
    assert problem in said
    assert bool(said) == bool(problem)
