"""Asking a person before something is taken away or replaced.

Where the host can ask, a person answers and nothing the agent sends stands in for that. Where it cannot, the
agent repeats the exact name of what is concerned, which keeps a wrong guess from doing harm.
"""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit
from pydantic import BaseModel, Field

from mcp_server.errors import DeclinedError, InvalidInputError
from mcp_server.tools._context import context_of

_MODERN = "2026-07-28"
"""From this protocol on, questions travel in results and need no channel back to the client."""


class Confirmation(BaseModel):
    """What a person is asked for."""

    proceed: bool = Field(description="Yes, go on.")


Answer = ElicitationResult[Confirmation]
ConfirmName = Annotated[
    str,
    Field(description="Only if this server asks for it: the exact name, repeated, where the host cannot ask a person."),
]


def ask(
    context: Context[Any, Any], question: str, *, name: str, confirm_name: str, person_only: bool = False
) -> Confirmation | Elicit[Confirmation]:
    """The question for a person, or the decision where none is asked.

    `person_only` is True where the promotion policy wants a person's agreement, whatever the settings say.
    Raises: InvalidInputError: nobody can be asked, and `confirm_name` is not `name`. DeclinedError: nobody can be
        asked, and only a person may decide.
    """
    mode = "always" if person_only else context_of(context).engine.settings.confirm
    if mode == "never":
        return Confirmation(proceed=True)
    if _can_ask(context):
        return Elicit(question, Confirmation)
    if mode == "always":
        why = "the promotion policy" if person_only else "MLFLOW_MCP_CONFIRM=always"
        raise DeclinedError(f"A person has to agree to this ({why}), and this host cannot ask. Nothing was changed.")
    if confirm_name == name:
        return Confirmation(proceed=True)
    wrong = f"confirm_name is '{confirm_name}'. " if confirm_name else ""
    raise InvalidInputError(
        f"{question} {wrong}This host cannot ask a person; to go on, repeat the call with confirm_name='{name}'. "
        "Nothing was changed."
    )


def need_yes(answer: Answer) -> None:
    """Raises: DeclinedError: the person said no, or closed the question."""
    if isinstance(answer, AcceptedElicitation):
        if answer.data.proceed:
            return
        raise DeclinedError("The person who was asked said no. Nothing was changed.")
    said = "declined" if answer.action == "decline" else "closed the question without an answer"
    raise DeclinedError(f"The person who was asked {said}. Nothing was changed.")


def _can_ask(context: Context[Any, Any]) -> bool:
    capabilities = context.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return False
    if (context.protocol_version or "") >= _MODERN:
        return True
    return context.request_context.session.can_send_request
