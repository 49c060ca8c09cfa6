"""All configuration, read once: flags first, then environment variables, then `.env` in the working folder.

`.env` may come with somebody else's files, so it cannot set anything that safety depends on, and an address in it gets
no credentials of the environment. MLflow's own variables keep MLflow's names; ours begin with `MLFLOW_MCP_`. Tests
compare the table in README.md and `.env.example` with this class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    SecretStr,
    ValidationError,
)

from mcp_server.env_file import env_file_values
from mcp_server.errors import SettingsError
from mcp_server.invalid_values import invalid_values
from mcp_server.redaction import remember, remember_login, remember_variables


def _split(separator: str) -> BeforeValidator:
    """Lists arrive from the environment as text; each variable names its separator."""

    def split(value: object) -> object:
        return [part.strip() for part in value.split(separator) if part.strip()] if isinstance(value, str) else value

    return BeforeValidator(split)


SAFETY: Final[dict[str, JsonValue]] = {"safety": True}
"""Marks a field (as its json_schema_extra) that `.env` cannot set."""
TRACKER_PREFIX: Final = "MLFLOW_MCP_TRACKER_"
"""Begins the variables that are for one of several trackers; they are read from the environment only."""
_REPLACED_BY_TRACKERS: Final = ("tracking_uri", "registry_uri", "mock_mode")
CREDENTIALS: Final = ("username", "password", "token", "client_cert_path")
ADDRESSES: Final = ("tracking_uri", "registry_uri")
Source = Literal["flag", "environment", "env_file", "default"]


def _page_address(text: str) -> str:
    """The address without what follows it in a link copied from MLflow's UI."""
    address = text.partition("#")[0].rstrip("/")
    if address and not re.fullmatch(r"https?://[^\s/@?]+[^\s@?]*", address, re.IGNORECASE):
        raise ValueError("expected an address such as https://mlflow.example.com, without a user name")
    return address


PageAddress = Annotated[str, AfterValidator(_page_address)]
CommaList = Annotated[tuple[str, ...], _split(",")]
PathList = Annotated[tuple[Path, ...], _split(os.pathsep)]


class Settings(BaseModel):
    """The configuration. Frozen: nothing changes while the server runs. `load` reads the environment and `.env`."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, hide_input_in_errors=True)

    tracking_uri: str = Field(
        "",
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow to use: http(s)://host:port of a tracking server, or a database such as "
        "sqlite:///mlflow.db. Empty: a store in the working folder, else a private one.",
    )
    registry_uri: str = Field(
        "", validation_alias="MLFLOW_REGISTRY_URI", description="Model registry, if on another server. Empty: the same."
    )
    ui_url: PageAddress = Field(
        "",
        validation_alias="MLFLOW_MCP_UI_URL",
        json_schema_extra=SAFETY,
        description="Address of MLflow's UI for links, if people open it at a different address than the tracking URI. "
        "Empty: the tracking server's.",
    )
    experiment_name: str = Field(
        "",
        validation_alias="MLFLOW_EXPERIMENT_NAME",
        description="Default experiment of a call. Empty: searches cover all, and calls that log must name one.",
    )
    artifact_location: str = Field(
        "",
        validation_alias="MLFLOW_ARTIFACT_LOCATION",
        description="Where new experiments of an embedded store keep artifacts. Empty: a folder next to the store.",
    )
    mock_mode: bool = Field(
        False,
        validation_alias="MLFLOW_MOCK_MODE",
        description="true: MLflow itself on a private, temporary store; no server, no network, gone at exit.",
    )
    trackers: str = Field(
        "",
        validation_alias="MLFLOW_MCP_TRACKERS",
        json_schema_extra=SAFETY,
        description="Several MLflow servers at once, as name=address pairs separated by commas; tools then get an "
        "argument tracker. Empty: one server.",
    )
    username: str = Field("", validation_alias="MLFLOW_TRACKING_USERNAME", description="User name for basic auth.")
    password: SecretStr = Field(
        SecretStr(""), validation_alias="MLFLOW_TRACKING_PASSWORD", description="Password for basic auth."
    )
    token: SecretStr = Field(
        SecretStr(""), validation_alias="MLFLOW_TRACKING_TOKEN", description="Bearer token, if no user name is set."
    )
    workspace: str = Field("", validation_alias="MLFLOW_WORKSPACE", description="Workspace, on servers that have any.")
    insecure_tls: bool = Field(
        False,
        validation_alias="MLFLOW_TRACKING_INSECURE_TLS",
        json_schema_extra=SAFETY,
        description="true: accept any TLS certificate of the tracking server.",
    )
    server_cert_path: str = Field(
        "",
        validation_alias="MLFLOW_TRACKING_SERVER_CERT_PATH",
        json_schema_extra=SAFETY,
        description="CA bundle (PEM) for the tracking server.",
    )
    client_cert_path: str = Field(
        "",
        validation_alias="MLFLOW_TRACKING_CLIENT_CERT_PATH",
        json_schema_extra=SAFETY,
        description="Client certificate with its key (PEM).",
    )
    read_only: bool = Field(
        False, validation_alias="MLFLOW_MCP_READ_ONLY", description="true: offer no tool that writes or deletes."
    )
    toolsets: CommaList = Field(
        (),
        validation_alias="MLFLOW_MCP_TOOLSETS",
        description="Toolsets to offer, separated by commas. Empty or `all`: every one.",
    )
    confirm: Literal["auto", "always", "never"] = Field(
        "auto",
        validation_alias="MLFLOW_MCP_CONFIRM",
        json_schema_extra=SAFETY,
        description="Who confirms deletions and moving an alias that is in use. auto: a person if the host can ask "
        "one, otherwise the agent repeats the exact name; always: only a person; never: nobody.",
    )
    promotion_policy: Path | None = Field(
        None,
        validation_alias="MLFLOW_MCP_PROMOTION_POLICY",
        json_schema_extra=SAFETY,
        description="YAML file with gates that promotions must pass and that no call can weaken. Empty: none.",
    )
    allowed_folders: PathList = Field(
        (),
        validation_alias="MLFLOW_MCP_ALLOWED_FOLDERS",
        json_schema_extra=SAFETY,
        description="Folders in which tools may read local files to upload and write files they download or export, "
        "separated as in PATH. Empty: none.",
    )
    timeout_seconds: float = Field(
        45.0,
        gt=0,
        le=3_600,
        validation_alias="MLFLOW_MCP_TIMEOUT_SECONDS",
        description="Longest time one tool call may take, in seconds.",
    )
    connect_timeout_seconds: float = Field(
        2.0,
        gt=0,
        le=60,
        validation_alias="MLFLOW_MCP_CONNECT_TIMEOUT_SECONDS",
        description="Longest time to open a connection to the tracking server, in seconds.",
    )
    data_dir: Path | None = Field(
        None,
        validation_alias="MLFLOW_MCP_DATA_DIR",
        json_schema_extra=SAFETY,
        description="Folder of the private store and of caches. Empty: the user's data folder of the platform.",
    )
    audit_log: Path | None = Field(
        None,
        validation_alias="MLFLOW_MCP_AUDIT_LOG",
        json_schema_extra=SAFETY,
        description="File to which every tool call appends a line of JSON: when, who, which tool, hashes of its "
        "arguments, outcome, requests to MLflow. Empty: none.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", validation_alias="MLFLOW_MCP_LOG_LEVEL", description="Lowest level of messages written to stderr."
    )

    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)
    _ignored: tuple[str, ...] = PrivateAttr(default=())
    _tracker: str = PrivateAttr(default="")
    _is_default_tracker: bool = PrivateAttr(default=True)
    _variables: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, **flags: Any) -> Settings:
        """Settings from flags (None means not given), environment and `.env`; their secrets are redacted from now on.

        Raises: SettingsError: a value cannot be used; the sentence names the variable.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        # Names of variables in any case; what is empty is not set.
        environment = {name.upper(): value for name, value in os.environ.items() if value}
        sources = _sources(given, environment, file := env_file_values(Path.cwd()))
        ignored = _untrusted(sources, file)
        for name in ignored:
            sources[name] = "default"
        read = {"environment": environment, "env_file": file}
        values = {name: read[source][variable_of(name)] for name, source in sources.items() if source in read}
        remember_variables(os.environ)
        remember_variables(file)
        try:
            settings = cls.model_validate({**values, **given})
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        settings.remember_secrets()
        settings._sources = dict(sources)
        of_trackers = [variable for variable in file if variable.startswith(TRACKER_PREFIX)]
        settings._ignored = (*ignored.values(), *(f"{name} in .env is ignored." for name in of_trackers))
        return settings

    def remember_secrets(self) -> None:
        """Redacts them from now on, also those that are never sent, such as a password without a user name."""
        for uri in (self.tracking_uri, self.registry_uri):
            remember_login(uri)
        remember(self.token.get_secret_value().strip())
        remember(self.password.get_secret_value(), user=self.username)

    def source(self, name: str) -> Source:
        """Where the value of a field came from."""
        return self._sources.get(name, "default")

    def for_tracker(
        self, name: str, values: Mapping[str, Any], variables: Mapping[str, str], *, is_default: bool
    ) -> Settings:
        """The settings of one of several trackers. `variables` says by field what sets it for this tracker.

        Raises: SettingsError: a value cannot be used; the sentence names the variable.
        """
        try:
            settings = type(self)(**{**dict(self), **values})
        except ValidationError as error:
            raise SettingsError(_explain(error, variables)) from None
        settings._sources = {**self._sources, **dict.fromkeys(variables, "environment")}
        settings._ignored = self._ignored if is_default else ()
        settings._tracker, settings._is_default_tracker, settings._variables = name, is_default, dict(variables)
        return settings

    @property
    def tracker(self) -> str:
        """Name of the tracker that these settings are for; empty without MLFLOW_MCP_TRACKERS."""
        return self._tracker

    @property
    def is_default_tracker(self) -> bool:
        """Whether credentials that are set for no tracker by name belong to this one."""
        return self._is_default_tracker

    def variable(self, name: str) -> str:
        """The environment variable that sets a field here: a tracker may have its own."""
        return self._variables.get(name, variable_of(name))

    def origin(self, name: str) -> str:
        """Where the value of a field came from, in words."""
        if name in self._variables:
            return self._variables[name]
        variable = variable_of(name)
        return {
            "flag": f"the flag {flag_of(name)}",
            "environment": f"the environment variable {variable}",
            "env_file": f"{variable} in .env",
            "default": "the default",
        }[self.source(name)]

    @property
    def ignored(self) -> tuple[str, ...]:
        """A sentence for each value that was set but is ignored."""
        return self._ignored


def variable_of(name: str) -> str:
    """The environment variable of a field."""
    return cast(str, Settings.model_fields[name].validation_alias)


def flag_of(name: str) -> str:
    """The command line flag of a field."""
    return f"--{name.replace('_', '-')}"


def _sources(flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, str]) -> dict[str, Source]:
    """Where the value of each field comes from, before anything is ignored."""
    sources: dict[str, Source] = {}
    for name in Settings.model_fields:
        variable = variable_of(name)
        if name in flags:
            sources[name] = "flag"
        elif variable in environment:
            sources[name] = "environment"
        else:
            sources[name] = "env_file" if variable in file else "default"
    return sources


def _untrusted(sources: Mapping[str, Source], file: Mapping[str, str]) -> dict[str, str]:
    """By field, why its value is ignored."""
    ignored: dict[str, str] = {}
    if sources["trackers"] in ("environment", "flag"):
        for name in _REPLACED_BY_TRACKERS:
            if sources[name] == "env_file":
                ignored[name] = f"{variable_of(name)} in .env is ignored: MLFLOW_MCP_TRACKERS is set."
    for name, source in sources.items():
        field, variable = Settings.model_fields[name], variable_of(name)
        safety = source == "env_file" and field.json_schema_extra == SAFETY
        if safety and file[variable].lower() != str(field.default).lower():
            ignored[name] = f"{variable} in .env is ignored: set it in the environment or as {flag_of(name)}."
    if sources["registry_uri"] == "env_file" and sources["tracking_uri"] in ("environment", "flag"):
        ignored["registry_uri"] = "MLFLOW_REGISTRY_URI in .env is ignored: MLFLOW_TRACKING_URI is set elsewhere."
    addresses = [name for name in ADDRESSES if sources[name] == "env_file" and name not in ignored]
    for name in CREDENTIALS:
        if addresses and sources[name] in ("environment", "flag"):
            ignored[name] = withheld(variable_of(name), addresses[0])
    return ignored


def withheld(what: str, address: str) -> str:
    """The sentence about a credential that the address of `.env` does not get; `address` is the field that holds it."""
    variable = variable_of(address)
    return f"{what} is not sent to the {variable} of .env: set that address in the environment, or both in .env."


def _explain(error: ValidationError, variables: Mapping[str, str] | None = None) -> str:
    sentences: list[str] = []
    for value in invalid_values(error):
        name = value.name if value.name in Settings.model_fields else _field_of(value.name)
        field, variable = Settings.model_fields[name], (variables or {}).get(name, variable_of(name))
        secret = isinstance(field.default, SecretStr)
        said = f"{variable} is a secret: {value.rule}." if secret else value.sentence(variable)
        sentences.append(f"{said} {field.description}")
    return " ".join(sentences)


def _field_of(variable: str) -> str:
    return next(name for name in Settings.model_fields if variable_of(name) == variable)
