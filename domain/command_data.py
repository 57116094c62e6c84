"""What the data of every command has in common; `domain.messages` has the commands."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Token = Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,128}$")]  # printable ASCII without blanks: safe as a key
Owner = Annotated[str, Field(strict=True, pattern=r"^[!-~]{1,64}$")]  # a user of the system that campaigns come from


class CommandData(BaseModel):
    """Base of all command data: camelCase on the wire, nothing unknown, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)
