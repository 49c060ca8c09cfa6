"""Runs every Python block of the guides in every setting and writes the outcomes, from which docs/guides.md is made.

    python -m tests.guides.measure [0.4 0.5 ...] [--fresh]

Needs port 5000, and the packages that the guides use: torch, lightning, tensorflow-cpu, xgboost, seaborn, hyperopt,
marimo, tabulate. Blocks are forked from a process that has imported MLflow, and begin with an empty database; with
--fresh each has an interpreter of its own, makes its database, and MLflow infers the requirements of each model.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

from . import outcomes
from .blocks import Block, blocks
from .catalogue import CATALOGUE, MOCK, NOTHING
from .executor import (
    COMPAT,
    PLAIN,
    SUBSTITUTED,
    Place,
    Result,
    Runner,
    empty_database,
    missing,
    request,
    run_forked,
    run_fresh,
)
from .outcomes import AS_WRITTEN, NOT_HERE, REFUSED, WITH_COMPAT, WITH_SUBSTITUTION, Outcome
from .servers import mlflow_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    wanted = [one for one in blocks() if one.language == "python" and one.name in (chosen.names or CATALOGUE)]
    runner = run_fresh if chosen.fresh else run_forked
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder) / "server", port=5000) as address:
        database = "" if chosen.fresh else empty_database(Path(folder) / "empty.db")
        place = Place(Path(folder), address, database, quick=not chosen.fresh)
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda one: _measured(one, place, runner), wanted):
                outcomes.keep(found)
                print(found.name, found.outcome, found.settings, found.refusal[:150], flush=True)


def _measured(one: Block, place: Place, runner: Runner) -> Outcome:
    entry = CATALOGUE[one.name]
    if lacking := missing(entry):
        return Outcome(one.name, one.digest, NOT_HERE, {}, f"not installed: {', '.join(lacking)}")
    settings: dict[str, str] = {}
    refusal, ours = "", False
    for setting in entry.settings:
        result = _alone(runner, request(one, setting, PLAIN, place), setting)
        outcome = AS_WRITTEN
        if not result.ok:
            refusal, ours = refusal or result.error, ours or result.ours
            outcome = REFUSED
            for mode, success in ((COMPAT, WITH_COMPAT), (SUBSTITUTED, WITH_SUBSTITUTION)):
                if mode == SUBSTITUTED and not entry.substitutions:
                    continue
                again = _alone(runner, request(one, setting, mode, place), setting)
                if again.ok:
                    outcome = success
                    break
                print(f"--- {one.name} {setting} {mode}: {again.error}\n{again.trace}", flush=True)
        settings[setting] = outcome
    worst = max(settings.values(), key=outcomes.ORDER.index)
    return Outcome(one.name, one.digest, worst, settings, refusal, ours)


_server = Lock()


def _alone(runner: Runner, given: dict[str, Any], setting: str) -> Result:
    """Blocks that share the server take turns: what one finds there must be its own."""
    with nullcontext() if setting in (NOTHING, MOCK) else _server:
        result = runner(given)
    if result.broken:
        raise AssertionError(f"block {given['name']}, {setting}: {result.error}\n{result.trace}")
    return result


if __name__ == "__main__":
    main()
