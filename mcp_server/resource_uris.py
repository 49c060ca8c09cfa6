"""The URIs of this server's resources, written in one place."""

from __future__ import annotations

from urllib.parse import quote

SERVER = "mlflow://server"
EXPERIMENT = "mlflow://experiments/{experiment_id}"
RUN = "mlflow://runs/{run_id}"
RUN_ARTIFACT = "mlflow://runs/{run_id}/artifacts/{+path}"
MODEL = "mlflow://models/{name}"
MODEL_VERSION = "mlflow://models/{name}/versions/{version}"


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
