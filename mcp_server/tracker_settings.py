"""Several trackers: the settings of each, so that no address gets what was set for another.

`MLFLOW_MCP_TRACKERS` lists them. A tracker's own settings are environment variables that begin with
`MLFLOW_MCP_TRACKER_<NAME>_`. The general variables for credentials apply to the default tracker only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from mcp_server.errors import SettingsError
from mcp_server.settings import TRACKER_PREFIX, Settings, variable_of
from mcp_server.suggestions import did_you_mean

MOCK: Final = "mock"
"""Instead of an address: the temporary store of mock mode."""

LOGIN: Final = ("username", "password", "token")
OF_ONE_SERVER: Final = (
    *LOGIN,
    *("workspace", "insecure_tls", "server_cert_path", "client_cert_path"),
    *("registry_uri", "ui_url", "artifact_location", "experiment_name"),
)
"""Fields that belong to one MLflow: their general variables apply to the default tracker only."""
OF_ALL: Final = ("read_only", "confirm", "promotion_policy")
"""Fields whose general variables apply to every tracker without its own; a general read-only applies to all."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")
_RESERVED: Final = ("server", "experiments", "runs", "models")
"""First parts of resource URIs; with several trackers, a tracker's name comes first."""
_FORM: Final = "Form: MLFLOW_MCP_TRACKERS=dev=http://localhost:5000,prod=https://mlflow.example.com"


def own_variable(name: str, field: str) -> str:
    """The variable that sets a field for one tracker, such as MLFLOW_MCP_TRACKER_PROD_TOKEN."""
    general = re.sub(r"^MLFLOW_(MCP_|TRACKING_)?", "", variable_of(field))
    return f"{TRACKER_PREFIX}{name.upper().replace('-', '_')}_{general}"


def settings_by_tracker(settings: Settings) -> Mapping[str, Settings]:
    """The settings of each tracker by its name, the default one first; without trackers, these under an empty name.

    Raises: SettingsError: they contradict each other, or a name or value cannot be used.
    """
    uris = _uris(settings.trackers)
    own = _own_values(list(uris))
    if not uris:
        return {"": settings}
    _need_no_contradiction(settings)
    default = _default(settings.tracking_uri, uris)
    names = [default, *(name for name in uris if name != default)]
    return {name: _settings_of(settings, name, uris[name], own[name], name == default) for name in names}


def _uris(text: str) -> dict[str, str]:
    """Address by name. No error shows an address, which may hold a password."""
    uris: dict[str, str] = {}
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    for number, pair in enumerate(pairs, start=1):
        name, separator, uri = (part.strip() for part in pair.partition("="))
        if not separator or not uri or "://" in name:
            raise SettingsError(
                f"Entry {number} of MLFLOW_MCP_TRACKERS is not name=address; a comma in an address is "
                f"written %2C. {_FORM}"
            )
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise SettingsError(
                f"Entry {number} of MLFLOW_MCP_TRACKERS has a name that cannot be used. A name has at most 30 "
                "lower-case letters, digits and hyphens, begins with a letter, and is not one of "
                f"{', '.join(_RESERVED)}. {_FORM}"
            )
        if name in uris:
            raise SettingsError(f"MLFLOW_MCP_TRACKERS lists '{name}' twice.")
        uris[name] = uri
    return uris


def _own_values(names: list[str]) -> dict[str, dict[str, str]]:
    """What each tracker sets for itself, by field.

    Raises: SettingsError: a variable is for no tracker or sets nothing; misspelt, it would leave one unprotected.
    """
    known = {own_variable(name, field): (name, field) for name in names for field in (*OF_ONE_SERVER, *OF_ALL)}
    values: dict[str, dict[str, str]] = {name: {} for name in names}
    for variable, value in os.environ.items():
        if not variable.upper().startswith(TRACKER_PREFIX) or not value:
            continue
        if variable.upper() not in known:
            trackers = f"MLFLOW_MCP_TRACKERS lists {', '.join(names)}" if names else "MLFLOW_MCP_TRACKERS is not set"
            raise SettingsError(
                f"{variable} sets nothing: {trackers}.{did_you_mean(variable, list(known))} "
                f"Form: {own_variable('prod', 'token')}"
            )
        name, field = known[variable.upper()]
        values[name][field] = value
    return values


def _need_no_contradiction(settings: Settings) -> None:
    for field, instead in (
        ("mock_mode", f"Write one tracker as name={MOCK}"),
        ("registry_uri", f"Write {own_variable('prod', 'registry_uri')} for the tracker that it belongs to"),
    ):
        if getattr(settings, field):
            raise SettingsError(
                f"{variable_of(field)} is for one MLflow, and MLFLOW_MCP_TRACKERS is set too. {instead}, or unset one "
                "of the two."
            )


def _default(tracking_uri: str, uris: Mapping[str, str]) -> str:
    """The tracker at the address of MLFLOW_TRACKING_URI; the first where that is not set."""
    wanted = tracking_uri.strip()
    if not wanted:
        return next(iter(uris))
    for name, uri in uris.items():
        if uri.rstrip("/") == wanted.rstrip("/"):
            return name
    raise SettingsError(
        "MLFLOW_TRACKING_URI is not the address of any tracker in MLFLOW_MCP_TRACKERS. Add it there, or unset it to "
        "make the first tracker the default."
    )


def _settings_of(settings: Settings, name: str, uri: str, own: Mapping[str, str], is_default: bool) -> Settings:
    is_mock = uri == MOCK
    values: dict[str, Any] = {"trackers": "", "tracking_uri": "" if is_mock else uri, "mock_mode": is_mock}
    foreign = OF_ONE_SERVER if not is_default else LOGIN if own.keys() & set(LOGIN) else ()
    # A tracker's own token beside the general user name would be the login of neither.
    values.update({field: Settings.model_fields[field].default for field in foreign})
    values.update(own)
    if settings.read_only:
        values["read_only"] = True
    variables = {field: own_variable(name, field) for field in own}
    place = f"{name} in {variable_of('trackers')}"
    return settings.for_tracker(
        name, values, {**variables, "tracking_uri": place, "mock_mode": place}, is_default=is_default
    )


def own_words(text: str, settings: Settings) -> str:
    """The sentence with a tracker's own variables in place of the general ones."""
    name = settings.tracker
    if not name:
        return text
    own = {variable_of(field): own_variable(name, field) for field in (*OF_ONE_SERVER, *OF_ALL)}
    own[variable_of("tracking_uri")] = f"the address of {name} in {variable_of('trackers')}"
    return re.sub(r"\bMLFLOW_\w+", lambda found: own.get(found[0], found[0]), text)
