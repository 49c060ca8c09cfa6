"""How MLflow's application sends and receives local artifacts in this process, without following links.

MLflow resolves links before it looks where a path leads, and opens what is there afterwards; a pipe would hold it up.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from mcp_server.mlflow_integration.local.plain_files import NotPlainError, entered, open_plain, temporary_file

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


def receiving(place_of: Callable[[str, str], tuple[Any, str]]) -> Callable[[], Any]:
    """A function that writes the body of a request as an artifact of a run, in pieces, whatever its size.

    In place of MLflow's own for the same endpoint, which takes 10 MiB and follows links in the run's folder.
    `place_of` gives the repository for a run and a path, and the path in it.
    """

    def receive() -> Any:
        flask: Any = import_module("flask")
        path = flask.request.args["path"]
        repository, path_there = place_of(flask.request.args["run_uuid"], path)
        *above, name = PurePosixPath(path_there).parts
        root = getattr(repository, "artifact_dir", None)
        try:
            if root is None:
                _store_elsewhere(repository, above, name, flask.request.stream)
            else:
                os.makedirs(root, exist_ok=True)
                _write(Path(os.path.realpath(str(root))), above, name, flask.request.stream)
        except OSError as error:
            reason = error.strerror or "a part of its path is a link"
            return _refused(400, "INVALID_PARAMETER_VALUE", f"The artifact '{path}' cannot be written: {reason}.")
        return flask.current_app.response_class(mimetype="application/json")

    return receive


def _write(root: Path, above: Sequence[str], name: str, stream: BinaryIO) -> None:
    if ".." in (*above, name):
        raise OSError
    with entered(root, above, make=True) as folder:
        # The name that MLflow gives to files that are not whole yet.
        temporary = f".artifact.uploading.{uuid.uuid4().hex}"
        with temporary_file(folder, temporary) as file:
            shutil.copyfileobj(stream, file, _BUFFER)
        try:
            folder.replace(temporary, name)
        except OSError:
            folder.remove(temporary)
            raise


def _store_elsewhere(repository: Any, above: Sequence[str], name: str, stream: BinaryIO) -> None:
    """Through a file of this computer: the repositories of cloud storage send files."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, name)
        with open(place, "wb") as file:
            shutil.copyfileobj(stream, file, _BUFFER)
        repository.log_artifact(str(place), "/".join(above) or None)


def _refused(status: int, code: str, message: str) -> Any:
    """An error in the form that MLflow's own handlers give it."""
    flask: Any = import_module("flask")
    body = json.dumps({"error_code": code, "message": message})
    return flask.current_app.response_class(body, status=status, mimetype="application/json")
