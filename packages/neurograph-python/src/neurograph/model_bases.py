"""What all models have in common."""

from pydantic import BaseModel, ConfigDict


class Question(BaseModel):
    """Base of everything that goes to a server."""

    # Schemas are built at first use: together they take as long as importing this whole package.
    model_config = ConfigDict(defer_build=True)


class Answer(BaseModel):
    """Base of everything a server sends."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, defer_build=True)
