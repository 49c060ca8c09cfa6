"""The credentials sent to a tracking server. Secrets leave this module only inside one header value."""

from __future__ import annotations

import base64
import os
from typing import Final

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.locate import Login
from mcp_server.settings import Settings

CREDENTIALS_FILE: Final = "~/.mlflow/credentials"
"""Where MLflow's own client looks: section `mlflow`, keys named after the variables in lower case."""


def authorization(settings: Settings, login: Login | None) -> str:
    """Value of the Authorization header; empty when there are no credentials anywhere.

    In order: user name and password of the settings, their token, `login` from the URI, MLflow's
    credentials file. A user name without a password does not count, as in MLflow's own client.

    Raises: SettingsError: the token cannot be sent.
    """
    password = settings.password.get_secret_value()
    if settings.username and password:
        return _basic((settings.username, password))
    if token := settings.token.get_secret_value().strip():
        return f"Bearer {header_text('MLFLOW_TRACKING_TOKEN', token)}"
    login = login or _stored_login()
    return _basic(login) if login else ""


def header_text(variable: str, value: str) -> str:
    """The value, if it can stand in a header. Raises: SettingsError: it cannot; names the variable only."""
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{variable} holds a character that HTTP cannot carry, such as a line end.")
    return value


def _basic(login: Login) -> str:
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
