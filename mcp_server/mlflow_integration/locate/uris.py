"""What the URI of a tracking server or database says, and how much of it may be shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

Login = tuple[str, str]
"""User name and password, percent-decoded."""

SIGN_IN_VARIABLES: Final = ("MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_AUTH")
"""With one of them set, MLflow's own client signs requests in its own way."""

_NO_ADDRESS: Final = "MLFLOW_TRACKING_URI cannot be read as an address. Form: http://host:5000"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """What the URI of a tracking server says."""

    address: str = ""
    """`scheme://host[:port][/path]` without credentials, query and fragment; empty if the URI cannot be used."""
    shown: str = ""
    """`address` with those parts of its path masked that look like a token."""
    login: Login | None = None
    problem: str = ""
    """A sentence, when the URI cannot be used; it shows nothing of the URI, which may hold a password."""


def read_server_address(uri: str) -> ServerAddress:
    """Splits an http(s) URI into what may be shown and the login. A link copied from MLflow's UI works."""
    try:
        given = httpx2.URL(uri.strip())
    except httpx2.InvalidURL:
        return ServerAddress(problem=_NO_ADDRESS)
    if given.scheme not in ("http", "https") or not given.host or not 0 <= (given.port or 0) <= 65_535:
        return ServerAddress(problem=_NO_ADDRESS)
    bare = given.copy_with(userinfo=b"")
    # Behind `http://ann:12/3@host` the parser sees the host `ann`; showing that path would show the password.
    if "@" in str(bare):
        return ServerAddress(
            problem="MLFLOW_TRACKING_URI has an @ after its host. If it belongs to a password with special "
            "characters, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead."
        )
    address = str(bare.copy_with(query=None, fragment=None)).rstrip("/")
    return ServerAddress(
        address, _without_tokens(address), (given.username, given.password) if given.userinfo else None
    )


def tokens_in_path(address: str) -> list[str]:
    """Parts of a path that look like a token: long, of letters and digits, or behind a name such as `token`."""
    segments = address.partition("://")[2].split("/")[1:]
    return [
        segment
        for before, segment in zip(["", *segments], segments)  # noqa: B905 - the first list is longer by one
        if _TOKEN.fullmatch(segment) or (_TOKEN_NAME.fullmatch(before) and len(segment) >= 4)
    ]


def _without_tokens(address: str) -> str:
    for token in tokens_in_path(address):
        address = address.replace(f"/{token}", "/***")
    return address


_TOKEN: Final = re.compile(r"[\w.~=-]*(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}[\w.~=-]*")
_TOKEN_NAME: Final = re.compile(r"(?i)(?:access[_-]?)?(?:token|key|secret|auth|apikey|api[_-]key)s?")


def without_credentials(uri: str) -> str:
    """The URI of a database as it may be shown: no user, no password, no query (which takes passwords too)."""
    scheme, separator, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    rest = rest.partition("?")[0]
    # In a path an `@` has no meaning.
    if re.match(r"[/\\.]|file:|[A-Za-z]:[/\\]", rest):
        return scheme + separator + rest
    # Up to the last `@`: a password may hold an unescaped slash or `@`, and behind the host neither has a meaning.
    return scheme + separator + rest.rpartition("@")[2]


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite URI; None for every other URI."""
    match = re.match(r"sqlite(\+\w+)?:///([^?]+)", uri)
    return Path(match[2]) if match else None


def database_passwords(uri: str) -> tuple[str, ...]:
    """Where the driver of a network database finds a password by itself, when its URI holds none."""
    scheme = uri.partition("://")[0].partition("+")[0]
    login = uri.partition("://")[2].partition("?")[0].rpartition("@")[0]
    if ":" in login or re.search(r"[?&]passw", uri):
        return ()
    variables = {"postgresql": ("PGPASSWORD", "PGPASSFILE"), "mysql": ("MYSQL_PWD",)}.get(scheme, ())
    files = ("~/.pgpass",) if scheme == "postgresql" else ()
    found = [name for name in variables if os.environ.get(name)]
    return (*found, *(name for name in files if Path(name).expanduser().exists()))


def needs_plugin(uri: str) -> bool:
    """Whether only MLflow's own client can sign in there: Databricks, AWS SigV4 and authentication plugins."""
    return is_databricks(uri) or (is_http(uri) and any(map(is_switched_on, SIGN_IN_VARIABLES)))


def is_switched_on(variable: str) -> bool:
    """Whether one of MLflow's variables is set to anything but false."""
    return os.environ.get(variable, "").lower() not in ("", "false", "0")


def is_databricks(uri: str) -> bool:
    return re.fullmatch(r"databricks(://\S*)?", uri) is not None


def is_http(uri: str) -> bool:
    return uri.lower().startswith(("http:", "https:"))
