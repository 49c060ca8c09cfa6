"""The credentials sent to a tracking server. Secrets leave this module only inside one header value."""

from __future__ import annotations

import base64
import os
from typing import Final, Literal

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.locate.uris import SIGN_IN_VARIABLES, Login, is_http, is_switched_on
from mcp_server.redaction import remember
from mcp_server.settings import ADDRESSES, Settings, withheld

CREDENTIALS_FILE: Final = "~/.mlflow/credentials"
"""Where MLflow's own client looks: section `mlflow`, keys named after the variables in lower case."""


UriField = Literal["tracking_uri", "registry_uri"]


def authorization(settings: Settings, login: Login | None, field: UriField = "tracking_uri") -> str:
    """Value of the Authorization header; empty when there are no credentials anywhere.

    In order: user name and password of the settings, their token, `login` from the URI, MLflow's
    credentials file. A user name without a password does not count, as in MLflow's own client.
    Every one of them is taken out of all texts from now on.

    A URI from `.env`, which may be a stranger's, gets only what that file itself or the URI holds. Of several
    trackers only the default one gets what is in MLflow's credentials file.

    Raises: SettingsError: the token cannot be sent.
    """
    password, token = settings.password.get_secret_value(), settings.token.get_secret_value().strip()
    for secret in (password, token):
        remember(secret, user=settings.username if secret == password else "")
    trusted = not is_from_dotenv(settings, field)
    if settings.username and password and (trusted or is_from_dotenv(settings, "password")):
        return _basic((settings.username, password))
    if token and (trusted or is_from_dotenv(settings, "token")):
        return f"Bearer {header_text('MLFLOW_TRACKING_TOKEN', token)}"
    login = login or (_stored_login() if takes_login_of_mlflow(settings, field) else None)
    return _basic(login) if login else ""


def withheld_credentials(settings: Settings) -> tuple[str, ...]:
    """Sentences about what an address from `.env` does not get, in addition to what Settings itself ignores."""
    for field in ADDRESSES:
        if is_from_dotenv(settings, field) and is_http(getattr(settings, field)):
            variables = [name for name in SIGN_IN_VARIABLES if is_switched_on(name)]
            file = [CREDENTIALS_FILE] if _stored_login() else []
            return tuple(withheld(what, field) for what in (*variables, *file))
    return ()


def is_from_dotenv(settings: Settings, name: str) -> bool:
    """Whether the value of a setting comes from the `.env` file in the working folder."""
    return settings.origin(name).endswith(" in .env")


def takes_login_of_mlflow(settings: Settings, field: UriField) -> bool:
    """Whether what MLflow's own client would sign in with may be sent to the URI of this field."""
    return settings.is_default_tracker and not is_from_dotenv(settings, field)


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
