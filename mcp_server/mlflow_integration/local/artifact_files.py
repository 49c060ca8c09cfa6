"""How MLflow's application sends local artifacts in this process: only regular files, opened without following links.

MLflow resolves links before it looks where a path leads, and opens what is there afterwards; a pipe would hold it up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from mcp_server.mlflow_integration.local.plain_files import NotPlainError, open_plain

_BUFFER: Final = 256 * 1024


def guarded(send_artifact: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """MLflow's function that sends an artifact of a repository, with local files opened by us."""

    def send(repository: Any, path: str) -> Any:
        root = getattr(repository, "artifact_dir", None)
        if root is None:  # Not a folder of this computer.
            return send_artifact(repository, path)
        return _sent(Path(os.path.realpath(str(root))), path)

    return send


def _sent(root: Path, path: str) -> Any:
    flask: Any = import_module("flask")
    wsgi: Any = import_module("werkzeug.wsgi")
    parts = Path(path).parts
    try:
        if ".." in parts:
            raise OSError
        file = open_plain(root, parts)
    except FileNotFoundError:
        return _refused(404, "RESOURCE_DOES_NOT_EXIST", f"There is no artifact '{path}'.")
    except NotPlainError as error:
        return _refused(400, "INVALID_PARAMETER_VALUE", f"The artifact '{path}' {error}.")
    except OSError:
        reason = "cannot be opened: a part of its path is a link or cannot be read."
        return _refused(400, "INVALID_PARAMETER_VALUE", f"The artifact '{path}' {reason}")
    size = os.fstat(file.fileno()).st_size
    environ = flask.request.environ
    response = flask.current_app.response_class(
        wsgi.wrap_file(environ, file, _BUFFER), mimetype="application/octet-stream", direct_passthrough=True
    )
    response.content_length = size
    try:
        return response.make_conditional(environ, accept_ranges=True, complete_length=size)
    except Exception:
        file.close()
        raise


def _refused(status: int, code: str, message: str) -> Any:
    """An error in the form that MLflow's own handlers give it."""
    flask: Any = import_module("flask")
    body = json.dumps({"error_code": code, "message": message})
    return flask.current_app.response_class(body, status=status, mimetype="application/json")
