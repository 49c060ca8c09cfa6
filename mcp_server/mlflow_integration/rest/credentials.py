"""The credentials sent to a tracking server. Secrets leave this module only inside one header value."""

from __future__ import annotations

import base64
import logging
import os
from typing import Final, Literal

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.locate.uris import Login
from mcp_server.redaction import remember
from mcp_server.settings import Settings, variable_of

logger = logging.getLogger(__name__)

CREDENTIALS_FILE: Final = "~/.mlflow/credentials"
"""Where MLflow's own client looks: section `mlflow`, keys named after the variables in lower case."""


UriField = Literal["tracking_uri", "registry_uri"]


def authorization(settings: Settings, login: Login | None, field: UriField = "tracking_uri") -> str:
    """Value of the Authorization header; empty when there are no credentials anywhere.

    In order: user name and password of the settings, their token, `login` from the URI, MLflow's
    credentials file. A user name without a password does not count, as in MLflow's own client.
    Every one of them is taken out of all texts from now on.

    A URI from `.env`, which may be a stranger's, gets only what that file itself or the URI holds.

    Raises: SettingsError: the token cannot be sent.
    """
    withheld = withheld_credentials(settings, field)
    if withheld:
        logger.warning(
            "%s comes from .env, so %s is not sent to it. Set %s in the environment too, or the credentials in .env.",
            variable_of(field),
            " and ".join(withheld),
            variable_of(field),
        )
    password, token = settings.password.get_secret_value(), settings.token.get_secret_value().strip()
    for secret in (password, token):
        remember(secret, user=settings.username if secret == password else "")
    if settings.username and password and variable_of("password") not in withheld:
        return _basic((settings.username, password))
    if token and variable_of("token") not in withheld:
        return f"Bearer {header_text('MLFLOW_TRACKING_TOKEN', token)}"
    login = login or (None if is_from_dotenv(settings, field) else _stored_login())
    return _basic(login) if login else ""


def withheld_credentials(settings: Settings, field: UriField) -> tuple[str, ...]:
    """Variables of credentials that are set, and not sent because the URI comes from `.env` and they do not."""
    if not is_from_dotenv(settings, field):
        return ()
    secrets = {"password": settings.password, "token": settings.token}
    return tuple(
        variable_of(name)
        for name, secret in secrets.items()
        if secret.get_secret_value() and not is_from_dotenv(settings, name)
    )


def is_from_dotenv(settings: Settings, name: str) -> bool:
    """Whether the value of a setting comes from the `.env` file in the working folder."""
    return settings.origin(name).endswith(" in .env")


def header_text(variable: str, value: str) -> str:
    """The value, if it can stand in a header. Raises: SettingsError: it cannot; names the variable only."""
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{variable} holds a character that HTTP cannot carry, such as a line end.")
    return value


def _basic(login: Login) -> str:
    remember(login[1], user=login[0])
    return "Basic " + base64.b64encode(":".join(login).encode("utf-8", "surrogateescape")).decode()


def _stored_login() -> Login | None:
    path = os.path.expanduser(CREDENTIALS_FILE)
    if not os.path.exists(path):
        return None
    import configparser  # for the few who keep that file

    stored = configparser.ConfigParser()
    try:
        stored.read(path)
        user = stored.get("mlflow", "mlflow_tracking_username", fallback="")
        password = stored.get("mlflow", "mlflow_tracking_password", fallback="")
    except (configparser.Error, UnicodeDecodeError):
        return None
    return (user, password) if user and password else None
