"""What the data of every command has in common; `domain.messages` has the commands."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from domain.wire import RobotId

Token = Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,128}$")]  # printable ASCII without blanks: safe as a key
ReplyQueue = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-]{1,80}$")]  # as SQS names its queues
Owner = Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,64}$")]  # a user of the system that campaigns come from


class CommandData(BaseModel):
    """Base of all command data: camelCase on the wire, nothing unknown, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class Answered(CommandData):
    """Base of commands whose sender may name who is told: a robot or a queue; with neither the journal alone knows."""

    robot_id: RobotId | None = None
    reply_to: ReplyQueue | None = None

    @model_validator(mode="after")
    def _names_one_addressee(self) -> "Answered":
        if self.robot_id is not None and self.reply_to is not None:
            raise ValueError("an answer goes to one place: name either robotId or replyTo")
        return self
