"""Requests to the store of lab.py that need more than MLflow's own search has: one or two calls, and what they say."""

from __future__ import annotations

from typing import Any

from tests.questions.lab import SCANS

Call = tuple[str, dict[str, Any]]
S, R, K, H = "search_runs", "rank_runs", "compare_runs", "get_metric_history"
IOU = "mean IoU"

PHRASINGS: list[tuple[str, tuple[Call, ...], tuple[str, ...]]] = [
    (
        "which runs failed or were killed?",
        ((S, {"filter_string": "status IN ('failed', 'killed')"}),),
        ("unet-killed", "trial-5"),
    ),
    ("what has not finished?", ((S, {"filter_string": "status NOT IN ('FINISHED')"}),), ("live", "unet-killed")),
    ("runs of ben and cy", ((S, {"filter_string": "user IN ('ben', 'cy')"}),), ("unet-s2", "deeplab-s2", "trial-0")),
    ("the two seeds by name", ((S, {"filter_string": "run_name IN ('unet-s0', 'unet-s1')"}),), ("unet-s0", "unet-s1")),
    (
        "best trial of the search",
        ((R, {"metric": "dice", "filter_string": "parent = 'search'", "max_results": 1}),),
        ("1|", "trial-4", "0.72"),
    ),
    (
        "leave the trials out, which run has the best IoU?",
        ((R, {"metric": IOU, "filter_string": "parent IS NULL"}),),
        ("deeplab-s1", "0.754"),
    ),
    ("what ran at commit a1b2c3d?", ((S, {"filter_string": "git_commit = 'a1b2c3d'"}),), ("unet-s0", "unet-s2")),
    (
        "where did the loss end in NaN?",
        ((S, {"filter_string": "metrics.train_loss = 'NaN'"}),),
        ("unet-nan",),
    ),
    (
        "which runs never logged IoU?",
        ((S, {"experiments": [SCANS], "filter_string": f"metrics.`{IOU}` IS NULL"}),),
        ("unet-nan", "unet-2023"),
    ),
    ("what did we do in October 2023?", ((S, {"since": "2023-10", "until": "2023-10"}),), ("unet-2023",)),
    (
        "which runs are not reviewed?",
        (
            (S, {"filter_string": "tags.reviewed != 'yes'", "columns": ["tags.reviewed"]}),
            (S, {"filter_string": "tags.reviewed IS NULL"}),
        ),
        ("unet-s0", "Runs without tags.reviewed are not among these", "unet-overfit"),
    ),
    (
        "which model is best over its seeds?",
        ((R, {"metric": IOU, "experiments": [SCANS], "fold_seeds": True}),),
        ("model=deeplab, data=scans|", "model=deeplab, data=scans-clean|"),
    ),
    (
        "how do the other seeds compare with seed 0?",
        ((K, {"runs": ["unet-s1", "unet-s2"], "baseline": "unet-s0", "metrics": [IOU]}),),
        ("did not use the same data", "data=scans|2|", "data=scans-clean|1|"),
    ),
    (
        "was there a value after step 20?",
        ((H, {"runs": ["unet-s0"], "metrics": [IOU], "start_step": 21}),),
        ("unet-s0 has no mean IoU at these steps",),
    ),
    ("which models are in Production?", (("search_models", {}),), ("segmenter", "Production=1")),
    (
        "experiments started since yesterday",
        (("search_experiments", {"filter_string": "creation_time >= '2024-01-01'", "order_by": ["created desc"]}),),
        (SCANS, "blank", "release"),
    ),
    (
        "what was in attic?",
        ((S, {"experiments": ["attic"]}), (S, {"experiments": ["attic"], "deleted": True})),
        ("The experiment is deleted; update_experiment with restore=true", "first-idea"),
    ),
    ("what still runs?", ((S, {"filter_string": "end_time IS NULL"}),), ("live",)),
    ("runs that name no dataset", ((S, {"filter_string": "dataset IS NULL and user = 'dee'"}),), ("unet-killed",)),
    ("runs not called trial", ((S, {"filter_string": "run_name NOT LIKE 'trial%'"}),), ("unet-overfit",)),
    (
        "why do our runs fail?",
        (("summarize_experiment", {"experiment": SCANS, "since": "7d"}),),
        ("RuntimeError: out of memory at batch", "|2|crash-", "neither a tag nor a log gives a reason|1|trial-5"),
    ),
    ("did it overfit?", (("diagnose_run", {"run": "unet-overfit"}),), ("overfit", "near step 10 (median")),
]
