"""Every failure the agent can meet, as one family.

The text of each is a sentence written for the agent: what was wrong, with the value; what would be
right; which tool shows it. No text carries a traceback, SQL, a local path or a credential. Raised
where the fact is known, answered in one place: `tools/_define.py`.

    MlflowToolError
    ├── SettingsError               a variable or flag has a value that cannot be used
    ├── InvalidInputError           the request is wrong; the same request will fail again
    │   ├── NotFoundError           what it names does not exist
    │   ├── AmbiguousError          what it names exists more than once
    │   └── AlreadyExistsError      what it would create is there
    ├── PermissionDeniedError       MLflow requires other credentials (401) or refuses these (403)
    ├── DeclinedError               a person was asked and did not agree
    ├── ConflictError               somebody else changed it meanwhile; read again, then decide
    ├── IncompleteWriteError        a write stopped half way; its text says what is and is not there
    └── TrackingServerError         MLflow could not be asked, or did not answer sensibly
        ├── UnreachableError        no connection, no TLS, or no MLflow behind the address
        ├── DeadlineError           no answer within the time a call may take
        └── UnsupportedError        this MLflow server is too old or lacks the feature
"""

from __future__ import annotations


class MlflowToolError(Exception):
    """Base of the family; `str(error)` is what the agent reads."""


class SettingsError(MlflowToolError):
    """A setting cannot be used; stops the start with one sentence that names the variable."""


class InvalidInputError(MlflowToolError):
    """The request is wrong as it stands; the text says what would be right."""


class NotFoundError(InvalidInputError):
    """Nothing has that id or name."""


class AmbiguousError(InvalidInputError):
    """Several things match that prefix or name; the text lists them."""


class AlreadyExistsError(InvalidInputError):
    """It is there already, perhaps deleted and not yet purged."""


class PermissionDeniedError(MlflowToolError):
    """MLflow requires credentials, or other ones; the text names the variables, never a value."""


class DeclinedError(MlflowToolError):
    """A person said no, or has to be asked and cannot be."""


class ConflictError(MlflowToolError):
    """The state changed between reading and writing."""


class IncompleteWriteError(MlflowToolError):
    """A write of several steps stopped half way; the same call with the same key completes it."""


class TrackingServerError(MlflowToolError):
    """MLflow could not be asked, or its answer could not be used.

    `carried_out` is False only when it is certain that the request never reached MLflow: then, and
    only then, may a write be sent again without looking first.
    """

    def __init__(self, message: str, *, carried_out: bool | None = None) -> None:
        super().__init__(message)
        self.carried_out = carried_out


class UnreachableError(TrackingServerError):
    """No connection, no TLS, or something other than MLflow behind the address."""


class DeadlineError(TrackingServerError):
    """No answer within the time that one call may take."""


class UnsupportedError(TrackingServerError):
    """This MLflow server does not have the feature; the text says which version does."""


def internal_failure(what: str) -> str:
    """The sentence for a failure outside this family, which is a fault of this server."""
    return f"{what} failed inside this server; its log on stderr has the cause."
