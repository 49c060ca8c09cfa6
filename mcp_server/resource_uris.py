"""The URIs of this server's resources, written in one place."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

RESOURCE_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of an artifact that is sent as a resource."""

SERVER = "mlflow://server"
EXPERIMENT = "mlflow://experiments/{experiment_id}"
RUN = "mlflow://runs/{run_id}"
RUN_ARTIFACT = "mlflow://runs/{run_id}/artifacts/{+path}"
MODEL = "mlflow://models/{name}"
MODEL_VERSION = "mlflow://models/{name}/versions/{version}"


def in_tracker(uri: str, tracker: str) -> str:
    """The URI of the same thing in one of several trackers; with an empty name, as it is."""
    return uri.replace("mlflow://", f"mlflow://{tracker}/", 1) if tracker else uri


def tracker_of(uri: str) -> str:
    """What stands in a URI where the tracker does when there are several."""
    return uri.partition("://")[2].partition("/")[0]


def experiment_uri(experiment_id: str) -> str:
    return EXPERIMENT.format(experiment_id=_part(experiment_id))


def run_uri(run_id: str) -> str:
    return RUN.format(run_id=_part(run_id))


def artifact_uri(run_id: str, path: str) -> str:
    return f"{run_uri(run_id)}/artifacts/{quote(path, safe='/')}"


def model_uri(name: str) -> str:
    return MODEL.format(name=_part(name))


def model_version_uri(name: str, version: str) -> str:
    return MODEL_VERSION.format(name=_part(name), version=_part(version))


def _part(text: str) -> str:
    return quote(text, safe="")
