"""Each example as a person runs it: a process of its own, in a new folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MPLBACKEND": "agg"}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_two_trainings_at_once_and_a_scripted_client_that_promotes_the_better(folder):
    trainings = [start(folder, "train_sklearn.py", "--depth", depth) for depth in ("1", "3")]
    runs = [re.search(r"Run (\w{32}) in .*: accuracy 0\.9", printed(training))[1] for training in trainings]

    shown = printed(start(folder, "scripted_client.py"))

    for run in runs:
        assert run in shown
    for tool in ("search_runs", "compare_runs", "get_metric_history", "rank_runs", "register_model", "promote_model"):
        assert f"> {tool} " in shown
    assert "promoted: false\ndry_run: true" in shown
    assert "promoted: true" in shown
    assert re.search(r"aliases: champion=[12]\n", shown)


def test_a_sweep(folder):
    shown = printed(start(folder, "sweep.py", "--trials", "4")).splitlines()

    losses = [float(line.split()[1]) for line in shown[1:5]]
    assert losses == sorted(losses)
    assert shown[5].startswith("learning_rate: best ")
