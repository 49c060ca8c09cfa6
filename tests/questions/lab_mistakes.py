"""Mistakes in searching, as agents make them that know other query languages; on the store of lab.py."""

from __future__ import annotations

from typing import Any

from tests.questions.lab import SCANS

RIGHT, REPAIRED = "right", "repaired"
S, R, E, M, IN = "search_runs", "rank_runs", "search_experiments", "search_models", {"experiments": SCANS}
IOU = "mean IoU"

MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    (S, {"filter_string": "(params.model = 'unet') and (params.seed = '1')"}, RIGHT, "unet-s1"),
    (S, {"filter_string": "((params.model = 'unet' and params.seed = '1'))"}, RIGHT, "unet-s1"),
    (S, {"filter_string": "(params.model = 'unet'"}, REPAIRED, "a parenthesis that is not closed"),
    (S, {"filter_string": "params.model = 'unet' and (user = 'ana' or user = 'ben')"}, REPAIRED, "or use IN"),
    (S, {"filter_string": f"metrics.{IOU} > 0.7"}, REPAIRED, f"metrics.`{IOU}`"),
    (S, {"filter_string": "metrics.dice LIKE '0.7%'"}, REPAIRED, "metrics.dice >= 0.9"),
    (S, {"filter_string": "metrics.dice IN (0.7, 0.8)"}, REPAIRED, "metrics.dice = 0.9"),
    (S, {"filter_string": "metrics.dice IS NOT NULL and user = 'cy'"}, RIGHT, "trial-4"),
    (S, {"filter_string": "metrics.train_loss = NaN"}, RIGHT, "unet-nan"),
    (S, {"filter_string": "created_at < '2024-01-01'"}, RIGHT, "unet-2023"),
    (S, {"filter_string": "start_time IN ('2023-10-12')"}, REPAIRED, "start_time > '2026-11-20'"),
    (S, {"filter_string": "start_time > '2023-10-12' and metrics.dice = 0.3"}, RIGHT, ">= includes it"),
    (S, {"filter_string": "run_name > 'unet'"}, REPAIRED, "compared with =, !=, LIKE or IN"),
    (S, {"filter_string": "status IN ('DONE')"}, RIGHT, "FINISHED"),
    (S, {"filter_string": "tags.reviewed NOT LIKE 'y%'"}, RIGHT, "unet-s0"),
    (S, {"filter_string": "attributes.`Run name` = 'unet-s1'"}, RIGHT, "unet-s1"),
    (S, {"filter_string": "start_time = '2023-10-12'"}, RIGHT, "unet-2023"),
    (S, {"filter_string": "metrics.val_loss > metrics.train_loss"}, REPAIRED, "A metric is compared with a number"),
    (S, {"filter_string": "attributes.model = 'unet'"}, REPAIRED, "A run has no attribute 'model'. It has run_id"),
    (S, {"filter_string": f"parent = '{'0' * 32}'"}, RIGHT, "runs it is"),
    (S, {"filter_string": "lifecycle_stage = 'deleted'"}, REPAIRED, "deleted=true"),
    (S, {"filter_string": "tags.mlflow.parentRunId = 'search'"}, RIGHT, "trial-4"),
    (S, {"filter_string": "parent_run_id = 'serch'"}, REPAIRED, "No run 'serch'"),
    (S, {"filter_string": "git_commit = 'beef'"}, RIGHT, "LIKE 'beef%'"),
    (S, {**IN, "order_by": "created_at desc", "max_results": 1}, RIGHT, "live"),
    (S, {**IN, "order_by": f"metrics.{IOU} desc", "max_results": 1}, RIGHT, "deeplab-s1"),
    (S, {**IN, "order_by": "lr desc"}, REPAIRED, "metrics.lr DESC or params.lr DESC"),
    (S, {"since": "october 2023", "until": "oct 2023"}, RIGHT, "unet-2023"),
    (S, {"dataset": "scans-clean"}, REPAIRED, "dataset.name = 'scans-clean'"),
    (S, {"status": "FAILED"}, REPAIRED, "status = 'FAILED'"),
    (S, {"run_name": "unet-s1"}, REPAIRED, "run_name = 'unet-s1'"),
    (R, {"metric": "dice", "parent": "search"}, REPAIRED, "parent = 'search'"),
    (R, {"metric": "train_loss", "filter_string": "status = 'RUNNING'"}, RIGHT, "search_runs with order_by"),
    (R, {"metric": "dice", "experiments": "attic"}, RIGHT, "search_runs with deleted=true"),
    (E, {"filter_string": "team = 'nlp'"}, REPAIRED, "tags.team"),
    (E, {"filter_string": "name contains 'scans'"}, REPAIRED, "LIKE '%scans%'"),
    (E, {"filter_string": "name IN ('blank')"}, REPAIRED, "Call once for each value"),
    (E, {"order_by": "-created"}, RIGHT, "blank"),
    (E, {"order_by": "runs desc"}, REPAIRED, "last_update_time DESC"),
    (M, {"filter_string": "aliases = 'champion'"}, REPAIRED, "the list shows the aliases and stages"),
    (M, {"filter_string": "stage = 'Production'"}, REPAIRED, "the list shows the aliases and stages"),
    (M, {"filter_string": "name LIKE 'seg%'", "order_by": "updated desc"}, RIGHT, "segmenter"),
    ("compare_runs", {"runs": [SCANS, "release"]}, REPAIRED, "an experiment has this name"),
    ("compare_runs", {"runs": "unet-s1", "baseline": "unet-s0"}, RIGHT, "differ only in seed"),
    ("compare_runs", {"runs": ["models:/segmenter/1", "release 2"]}, RIGHT, "release 1"),
    (R, {"metric": "dice", "top_k": 1, "experiment": "release"}, RIGHT, "release 2"),
    ("get_model", {"model_name": "segmenter", "alias": "latest"}, RIGHT, "version: 2"),
    ("promote_model", {"model": "segmenter", "version": 2, "dry_run": True}, RIGHT, "dry_run: true"),
    ("register_model", {"registered_model_name": "segmenter", "run": "release 1"}, RIGHT, "registered already"),
    ("wait_for_runs", {"runs": "unet-nan", "timeout": 1}, RIGHT, "unet-nan|FINISHED"),
    ("get_run", {"run": "models:/segmenter/7"}, REPAIRED, "Newest version: 2"),
    (R, {"metric": "duration", "experiments": SCANS}, REPAIRED, "search_runs with order_by"),
    (S, {"filter_string": "description LIKE '%x%'"}, RIGHT, "tags.mlflow.note.content LIKE"),
    ("analyze_params", {"metric": "dice", "experiments": SCANS}, RIGHT, "No conclusion"),
    (
        "promote_model",
        {"name": "segmenter", "version": 2, "alias": "production", "dry_run": True},
        RIGHT,
        "version 1 is",
    ),
    ("update_run", {"run": "unet-nan", "tags": {"reviewed": None}}, REPAIRED, "tags cannot be removed"),
    ("list_artifacts", {"run": "segmenter"}, REPAIRED, "models:/<name>/<version>"),
    ("list_artifacts", {"run": "release 1", "pattern": ".*\\.csv"}, RIGHT, "such as *.csv"),
    ("read_artifact", {"run": "release 1", "path": "tables"}, REPAIRED, "is a folder; list_artifacts"),
]
