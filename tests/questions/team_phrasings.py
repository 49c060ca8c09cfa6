"""Requests in the words of other people than those of phrasings.py: one or two calls, and what their answers must say.

All calls but those at the end read; the last ones change the store, in this order.
"""

from __future__ import annotations

from typing import Any

from tests.questions.team import IMAGES

Call = tuple[str, dict[str, Any]]
IN, V, F = [IMAGES], "val_accuracy", "fraud-clf"
BEST = "resnet50-lr0.01-d0.1"
S, R, K, H, D = "search_runs", "rank_runs", "compare_runs", "get_metric_history", "diagnose_run"

PHRASINGS: list[tuple[str, tuple[Call, ...], tuple[str, ...]]] = [
    (
        "did my last night's job die?",
        ((S, {"since": "yesterday", "filter_string": "status = 'FAILED'"}), (D, {"run": "vit-big"})),
        ("vit-big", "CUDA out of memory"),
    ),
    (
        "which lr is best for resnet?",
        (("analyze_params", {"metric": V, "experiments": IN, "filter_string": "params.model LIKE 'resnet%'"}),),
        ("moved with", "lr|0.01"),
    ),
    (
        "is v7 safe to ship?",
        (
            (
                "promote_model",
                {"name": F, "version": "7", "alias": "prod", "dry_run": True, "gates": "metrics.auc>=prod"},
            ),
        ),
        ("promoted: false", "0.955", ">= 0.96"),
    ),
    (
        "what changed between yesterday's best and today's?",
        ((R, {"metric": V, "experiments": IN, "max_results": 2}), (K, {"runs": [BEST, "resnet50-lr0.01-d0.3"]})),
        (BEST, "dropout|0.1|0.3", "did not use the same data"),
    ),
    ("how long do these runs usually take?", (("summarize_experiment", {"experiment": IMAGES}),), ("median=14 min",)),
    ("did anyone already try dropout 0.5?", ((S, {"filter_string": "params.dropout = 0.5"}),), ("vit-big", "FAILED")),
    (
        "what is in prod and who put it there?",
        (("get_model", {"name": F}),),
        ("prod=6", "promotion|prod|6|4", "better auc"),
    ),
    (
        "plot loss of the top 5",
        (
            (R, {"metric": "val_loss", "experiments": IN, "max_results": 5}),
            ("plot_metrics", {"metrics": "val_loss", "runs": [BEST, "vit-lr0.01-d0.1", "resnet18-lr0.01-d0.1"]}),
        ),
        ("Line chart", "val_loss of 3 runs"),
    ),
    (
        "which runs used dataset imagenet-mini",
        ((S, {"filter_string": "dataset = 'imagenet-mini'"}),),
        ("imagenet-mini",),
    ),
    (
        "who still trains on the old data a1b2",
        ((S, {"filter_string": "datasets.digest = 'a1b2'"}),),
        ("resnet18-lr0.1",),
    ),
    (
        "average accuracy per model type",
        (("analyze_params", {"metric": V, "experiments": IN, "params": "model"}),),
        ("model|resnet50|0.8", "model|vit|0.8"),
    ),
    (
        "runs of alice this week that failed",
        ((S, {"filter_string": "user = 'alice' and status = 'FAILED'", "since": "7d"}),),
        ("vit-big", "alice"),
    ),
    (
        "is the improvement of v6 over v5 real?",
        ((K, {"runs": ["fraud v5 try", "fraud v6 try"]}),),
        ("not be comparable",),
    ),
    (
        "best run under 10 minutes",
        ((R, {"metric": V, "experiments": IN, "filter_string": "duration < '10 min'"}),),
        ("9 min",),
    ),
    ("what's cooking right now?", ((S, {"filter_string": "status = 'RUNNING'"}),), ("nightly",)),
    ("is nightly getting anywhere", ((D, {"run": "nightly"}),), ("RUNNING",)),
    (
        "ping me when nightly is above 0.9 or dead",
        (("wait_for_runs", {"runs": "nightly", "until": f"{V} > 0.9", "timeout_seconds": 1}),),
        ("nothing until the timeout", "0.71"),
    ),
    (
        "show me the confusion matrix of v6",
        (("read_artifact", {"run": "fraud v6 try", "path": "confusion.csv"}),),
        ("1|1|6",),
    ),
    ("what did v6 leave behind", (("list_artifacts", {"run": "fraud v6 try"}),), ("report.json", "notes.md")),
    (
        "diff the reports of v5 and v6",
        (("compare_artifacts", {"run": "fraud v5 try", "other": "fraud v6 try", "path": "report.json"}),),
        ("auc", "0.95", "0.96"),
    ),
    ("which run made the model in prod", (("get_model", {"name": F, "version": "prod"}),), ("fraud v6 try", "dana")),
    (
        "prod against the newest, side by side",
        (("compare_model_versions", {"name": F, "versions": ["prod", "latest"]}),),
        ("auc|max|0.96|0.955|-0.005",),
    ),
    (
        "bar chart of the accuracies",
        (("plot_metrics", {"metrics": V, "kind": "bars", "experiments": IN}),),
        ("Bar chart",),
    ),
    (
        "lr against accuracy as dots",
        (("plot_metrics", {"metrics": V, "kind": "scatter", "params": "lr", "experiments": IN}),),
        ("log scale", BEST),
    ),
    (
        "accuracy/loss trade-off picture",
        (("plot_metrics", {"metrics": [V, "val_loss"], "kind": "pareto", "experiments": IN}),),
        ("Pareto front",),
    ),
    (
        "batch size somewhere between 32 and 128",
        ((S, {"filter_string": "params.batch_size >= 32 and params.batch_size <= 128"}),),
        ("resnet18-lr0.1-d0.1",),
    ),
    ("anything fishy in there?", (("summarize_experiment", {"experiment": IMAGES}),), ("NaN or infinite", "FAILED=2")),
    (
        "fastest one over .87",
        ((S, {"filter_string": f"metrics.{V} > 0.87", "order_by": "duration", "max_results": 1}),),
        ("resnet50",),
    ),
    (
        "who did the training this week",
        (("summarize_experiment", {"experiment": "fraud", "since": "8d"}),),
        ("dana=7",),
    ),
    ("last 3 of bob", ((S, {"filter_string": "user = 'bob'", "max_results": 3}),), ("nightly",)),
    ("when did vit-big blow up", ((H, {"runs": "vit-big", "metrics": "val_loss"}),), ("ends in NaN (since step 2)",)),
    ("at which epoch was resnet50 best", ((H, {"runs": BEST, "metrics": V}),), ("@10",)),
    (
        "what data do we train on",
        (("summarize_experiment", {"experiment": IMAGES}),),
        ("imagenet-mini a1b2 (training)=9",),
    ),
    ("any model for fraud?", (("search_models", {"name_contains": "FRAUD"}),), ("fraud-clf|7|prod=6",)),
    (
        "best of each architecture",
        (("analyze_params", {"metric": V, "experiments": IN}),),
        ("best_run_id", "model|resnet18"),
    ),
    ("settings of the winner, please", (("get_run", {"run": BEST, "columns": "params.*"}),), ("params.lr: 0.01",)),
    (
        "is loss still dropping on resnet18",
        ((D, {"run": "resnet18-lr0.1-d0.1", "metrics": "val_loss"}),),
        ("improves",),
    ),
    (
        "everything as a csv for excel",
        (("export_runs", {"path": "all.csv", "experiments": IN}),),
        ("runs: 21", "all.csv"),
    ),
    ("runs from commit abc", ((S, {"filter_string": "git_commit = 'abc'"}),), ("mlflow.source.git.commit",)),
    (
        "jot down that v6 was checked",
        (("log_artifact", {"run": "fraud v6 try", "path": "check.md", "content": "ok"}),),
        ("logged: 1",),
    ),
    (
        "mark the winner as reviewed",
        (("update_run", {"runs": BEST, "tags": {"reviewed": True}}),),
        ("tags.reviewed: True",),
    ),
    (
        "put v7 into staging",
        (("promote_model", {"name": F, "version": "v7", "alias": "@staging", "allow_first": True}),),
        ("promoted: true",),
    ),
    (
        "undo the last deploy",
        (("rollback_model", {"name": F, "alias": "prod", "reason": "bad"}),),
        ("version: 4", "previous_version: 6"),
    ),
    ("nightly is hopeless, call it failed", (("finish_run", {"run": "nightly", "status": "failed"}),), ("FAILED",)),
    ("throw old-fail away", (("delete_runs", {"runs": "old-fail"}),), ("deleted", "restore")),
    ("oops, give it back", (("update_run", {"runs": "old-fail", "restore": True}),), ("restored",)),
]
