"""The base of every model that crosses a room's border."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value; unknown fields are refused so that a typing slip never passes unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
