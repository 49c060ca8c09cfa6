"""Makes a tracker's run MLflow's active run.

The tracker itself does not need that. But MLflow's autologging, and the log_model of every flavor, ask
`mlflow.active_run()` (one stack per thread) and `mlflow.get_tracking_uri()` (one value per process)
where to log, and take no argument instead. So while a run is open it is the active run of its thread
and its store the one of the process; both are restored afterwards, and the environment is not touched.

Two stores at once in two threads: the newest run's store counts, so autologging fails with MLflow's
warning in the other thread, and cannot mix: MLflow asks for the run first, and ids are unique.
Whatever goes through the tracker goes to its own store all the time. MLflow autologs one `fit` at a time
in a process (3.17): of two in two threads at the same moment it logs one.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.tracker.store import Store, import_mlflow


@dataclass(eq=False, slots=True)
class _Claim:
    store: Store
    exclusive: bool


_changed = threading.Condition()
_claims: list[_Claim] = []
_before: tuple[str | None, str | None] = (None, None)
_pointed_at: tuple[str | None, str | None] | None = None


@contextmanager
def as_active_run(store: Store, run: Any = None, *, exclusive: bool = False) -> Generator[None, None, None]:
    """Makes the store MLflow's own and the run (an MLflow `Run`) the active one of this thread, inside the block.

    `exclusive` is for one call that reads the URI many times: no other store replaces it before the call ends.
    """
    active_runs = mlflow_internals.active_runs() if run else []
    active = import_mlflow().ActiveRun(run) if run else None
    claim = _claim(store, exclusive)
    active_runs.append(active)
    try:
        yield
    finally:
        # By identity and from the list itself: runs of asyncio tasks in one thread end in any order,
        # and a script may have ended the run with mlflow.end_run().
        active_runs[:] = [other for other in active_runs if other is not active]
        _release(claim)


def point_mlflow_at(store: Store) -> None:
    """Make the store MLflow's own for the rest of the process, unless the script chose one with a call itself."""
    global _before, _pointed_at
    with _changed:
        own_choice = _before if _claims else mlflow_internals.set_uris()
        if own_choice != (None, None) and own_choice != _pointed_at:
            return
        _pointed_at = store.tracking_uri, store.registry_uri
        if _claims:
            _before = _pointed_at
        elif own_choice != _pointed_at:
            mlflow = import_mlflow()
            mlflow.set_tracking_uri(store.tracking_uri)
            mlflow.set_registry_uri(store.registry_uri)


def _claim(store: Store, exclusive: bool) -> _Claim:
    global _before
    claim = _Claim(store, exclusive)
    with _changed:
        _changed.wait_for(lambda: all(other.store == store for other in _claims if other.exclusive))
        if not _claims:
            _before = mlflow_internals.set_uris()
        _claims.append(claim)
        _apply()
    return claim


def _release(claim: _Claim) -> None:
    with _changed:
        _claims.remove(claim)
        # What the script itself set meanwhile stays.
        if _claims or mlflow_internals.set_uris() == (claim.store.tracking_uri, claim.store.registry_uri):
            _apply()
        _changed.notify_all()


def _apply() -> None:
    tracking_uri, registry_uri = _before
    if _claims:
        store = next((claim.store for claim in _claims if claim.exclusive), _claims[-1].store)
        tracking_uri, registry_uri = store.tracking_uri, store.registry_uri
    if mlflow_internals.set_uris() == (tracking_uri, registry_uri):
        return
    mlflow_internals.set_uris_of_process(tracking_uri, registry_uri)
