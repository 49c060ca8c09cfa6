"""Runs every Python block of the guides in every setting and writes the outcomes, from which docs/guides.md is made.

    python -m tests.guides.measure [0.4 0.5 ...]

Its first setting is `python block.py` in a new interpreter and an empty folder, with the block's prelude above its text
and a check below it; in the others the same is run by a process forked from one that has imported MLflow
(--every-setting-fresh: as in the first). Needs port 5000, this package installed, and the packages that the guides
use: torch, lightning, tensorflow-cpu, xgboost, seaborn, hyperopt, marimo, tabulate. Takes half an hour on two cores:
MLflow makes its database and infers the requirements of every model, as it does for anybody.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Lock

from . import outcomes
from .blocks import Block, blocks
from .catalogue import CATALOGUE, MOCK, NOTHING, Entry
from .executor import Runner, empty_database, missing, run_forked, run_script
from .outcomes import AS_WRITTEN, NOT_HERE, REFUSED, WITH_COMPAT, WITH_SUBSTITUTION, Outcome
from .requests import COMPAT, PLAIN, RUN, SUBSTITUTED, Place, Result, request
from .servers import mlflow_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--every-setting-fresh", action="store_true")
    chosen = parser.parse_args()
    wanted = [one for one in blocks() if one.language == "python" and one.name in (chosen.names or CATALOGUE)]
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder) / "server", port=5000) as address:
        fresh = Way(run_script, Place(Path(folder) / "fresh", address))
        database = empty_database(Path(folder) / "empty.db")
        forked = Way(run_forked, Place(Path(folder) / "forked", address, database, quick=True))
        if chosen.every_setting_fresh:
            forked = fresh
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda one: _measured(one, fresh, forked), wanted):
                outcomes.keep(found)
                print(found.name, found.outcome, found.settings, found.refusal[:150], flush=True)


@dataclass(frozen=True)
class Way:
    """How blocks are run, and where."""

    runner: Runner
    place: Place


def _measured(one: Block, fresh: Way, forked: Way) -> Outcome:
    entry = CATALOGUE[one.name]
    if lacking := missing(entry):
        return Outcome(one.name, one.digest, NOT_HERE, refusal=f"not installed: {', '.join(lacking)}")
    settings: dict[str, str] = {}
    refusal, ours = "", False
    for setting in entry.settings:
        way = fresh if setting == entry.settings[0] else forked
        result = _alone(one, setting, PLAIN, way)
        if result.ok:
            settings[setting] = AS_WRITTEN
        else:
            refusal, ours = refusal or result.error, ours or result.ours
            settings[setting] = _rescued(one, entry, setting, way)
    worst = max(settings.values(), key=outcomes.ORDER.index)
    if worst == AS_WRITTEN and not _alone(one, entry.settings[0], COMPAT, forked).ok:
        raise AssertionError(f"block {one.name} runs as written, and not with compat")
    return Outcome(one.name, one.digest, worst, settings, refusal, ours, _versions(entry))


def _rescued(one: Block, entry: Entry, setting: str, way: Way) -> str:
    """What a block that fails as written needs. In a script both forms of `compat` have to work."""
    modes = (COMPAT, RUN) if way.runner is run_script else (COMPAT,)
    if all(_alone(one, setting, mode, way).ok for mode in modes):
        return WITH_COMPAT
    if entry.substitutions and _alone(one, setting, SUBSTITUTED, way).ok:
        return WITH_SUBSTITUTION
    return REFUSED


_server = Lock()


def _alone(one: Block, setting: str, mode: str, way: Way) -> Result:
    """Blocks that share the server take turns: what one finds there must be its own."""
    with nullcontext() if setting in (NOTHING, MOCK) else _server:
        result = way.runner(request(one, setting, mode, way.place))
    if result.broken:
        raise AssertionError(f"block {one.name}, {setting}, {mode}: {result.error}\n{result.trace}")
    if not result.ok and mode != PLAIN:
        print(f"--- {one.name} {setting} {mode}: {result.error}\n{result.trace}", flush=True)
    return result


def _versions(entry: Entry) -> dict[str, str]:
    packages = ("mlflow", "scikit-learn", *entry.needs)
    return {"Python": platform.python_version(), **{name: version(name) for name in packages}}


if __name__ == "__main__":
    main()
