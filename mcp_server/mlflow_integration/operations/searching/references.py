"""Resolves what callers write to runs and experiments: ids, unique id prefixes, names and UI links."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from mcp_server.errors import AmbiguousError, InvalidInputError, MlflowToolError, NotFoundError
from mcp_server.mlflow_integration.entities import Experiment, Run
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.rest.tracking_api import TrackingApi, ViewType
from mcp_server.suggestions import did_you_mean
from mcp_server.times import utc
from mcp_server.untrusted import shown

_RUN_LINK: Final = re.compile(r"(?:experiments/[^/?#]+/runs/|^runs:/)(?P<id>[A-Za-z0-9][\w-]*)")
_EXPERIMENT_LINK: Final = re.compile(r"/experiments/(?P<id>[A-Za-z0-9][\w-]*)")
_EXPERIMENT_ID: Final = re.compile(r"[0-9]{1,18}")
"""MLflow keeps them as 64-bit numbers; Databricks has ids of 16 digits."""
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_RUN_ID_PREFIX: Final = re.compile(r"[0-9a-f]{6,31}")
_UNQUOTABLE: Final = re.compile(r"[\"\\]")
_IN_QUOTES: Final = re.compile(r"""'.+'|".+"|`.+`""", re.DOTALL)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A run id with the dashes that MLflow leaves out."""
_COMPARED_RUNS: Final = re.compile(r"[?&]runs=\[(?P<ids>[^\]]*)\]")
_CUSTOM_RUN_ID: Final = re.compile(r"[A-Za-z0-9][\w-]{0,255}")

_EXPERIMENTS_KEPT_SECONDS: Final = 30.0
"""How long the list of experiments is used before it is read again; it saves one request per call."""
_EXPERIMENTS_LIMIT: Final = 20_000
"""Experiments searched when a call names none; if there are more, a call must name some."""
_CANDIDATES: Final = 50
"""Runs read to find the one of a name; more of the same name in other case are ambiguous anyway."""
_LISTED: Final = 5
"""Runs that an ambiguous name lists."""
_IDS_PER_SEARCH: Final = 100
"""Run ids in one IN clause. Source: a search of 100 ids costs one tenth of 100 requests (MLflow 3.17)."""


class References:
    """Finds the runs and experiments that a caller names. It only reads."""

    def __init__(self, api: TrackingApi, default_experiment: str = "") -> None:
        self._api = api
        self._default_experiment = default_experiment
        self._known: tuple[float, tuple[Experiment, ...]] = (-_EXPERIMENTS_KEPT_SECONDS, ())

    @property
    def default_experiment(self) -> str:
        """The experiment that is searched when a call names none; empty when all are searched."""
        return self._default_experiment

    async def experiment(self, reference: str) -> Experiment:
        """By id, exact name or UI link; the default experiment when the reference is empty.

        Raises: NotFoundError: none such; the text names the closest. InvalidInputError: empty, and no default is set.
        """
        text = self.named(reference)
        if not text:
            raise InvalidInputError(
                "No experiment is named and no default is set (MLFLOW_EXPERIMENT_NAME). search_experiments lists them."
            )
        if link := _EXPERIMENT_LINK.search(text) or _EXPERIMENT_LINK.search(unquote(text)):
            text = link["id"]
        if _EXPERIMENT_ID.fullmatch(text):
            try:
                return await self._api.get_experiment(text)
            except NotFoundError:
                pass  # A name may be all digits too.
        try:
            return await self._api.get_experiment_by_name(text)
        except NotFoundError:
            raise await self._no_experiment(text) from None

    def named(self, reference: str) -> str:
        """What names the experiment: the reference, or the default when it is empty."""
        return reference.strip() or self._default_experiment

    async def experiments(self, references: Sequence[str]) -> tuple[Experiment, ...]:
        """Those named; none named: the default experiment, else every active one."""
        if not references and not self._default_experiment:
            return await self.all_experiments()
        try:
            found = [await self.experiment(reference) for reference in references or [""]]
        except NotFoundError:
            if [reference.strip().lower() for reference in references] in (["*"], ["all"]):
                return await self.all_experiments()
            raise
        return tuple({experiment.experiment_id: experiment for experiment in found}.values())

    async def all_experiments(self) -> tuple[Experiment, ...]:
        """Every active experiment, from a list that is at most half a minute old.

        Raises: InvalidInputError: more than a search may reasonably look through.
        """
        read_at, experiments = self._known
        if time.monotonic() - read_at < _EXPERIMENTS_KEPT_SECONDS:
            return experiments
        found: list[Experiment] = []
        token = ""
        while True:
            page = await self._api.search_experiments(page_token=token)
            found += page.items
            token = page.next_page_token
            if not token:
                break
            if len(found) >= _EXPERIMENTS_LIMIT:
                raise InvalidInputError(
                    f"There are more than {_EXPERIMENTS_LIMIT:,} experiments: name the ones to search."
                )
        self._known = (time.monotonic(), tuple(found))
        return self._known[1]

    def forget(self) -> None:
        """After a change to experiments: read the list again."""
        self._known = (-_EXPERIMENTS_KEPT_SECONDS, ())

    async def run(self, reference: str) -> Run:
        """By id, unique id prefix of 6 characters or more, name or UI link.

        A name that no run has exactly may differ by case. Deleted runs are found by id and, where no active run has
        it, by name.
        Raises: NotFoundError: none such, after the experiments were read again. AmbiguousError: several; the text
            lists them.
        """
        text = _run_text(reference)
        if _IN_QUOTES.fullmatch(text) and (run := await self._search_run(text[1:-1])):
            return run
        if _RUN_ID.fullmatch(text):
            try:
                return await self._api.get_run(text)
            except NotFoundError:
                raise _no_run(text) from None
        if run := await self._search_run(text):
            return run
        known = {experiment.experiment_id for experiment in self._known[1]}
        self.forget()
        # Another process may have made the experiment since the list was read.
        if {experiment.experiment_id for experiment in await self.all_experiments()} != known and (
            run := await self._search_run(text)
        ):
            return run
        if _CUSTOM_RUN_ID.fullmatch(text):
            try:
                return await self._api.get_run(text)
            except InvalidInputError:
                pass  # MLflow lets clients choose run ids; this was none of them.
        raise await self._not_found(text)

    async def _not_found(self, text: str) -> NotFoundError:
        """The error about a run that does not exist, which says so if the text names an experiment."""
        if any(experiment.name == text for experiment in await self.all_experiments()):
            return NotFoundError(
                f"No run '{shown(text)}', but an experiment has this name. rank_runs and search_runs take experiments; "
                "summarize_experiment describes one."
            )
        return _no_run(text)

    async def _search_run(self, text: str) -> Run | None:
        if _RUN_ID_PREFIX.fullmatch(text.lower()) and (run := await self._by_prefix(text.lower())):
            return run
        for view_type in ("ACTIVE_ONLY", "DELETED_ONLY"):
            for clause, matches in _name_clauses(text):
                if run := await self._only(clause, text, matches, view_type):
                    return run
        return None

    async def _by_prefix(self, prefix: str) -> Run | None:
        return await self._only(f"attributes.run_id LIKE '{prefix}%'", prefix, lambda run: True, "ALL")

    async def runs(self, references: Sequence[str]) -> tuple[Run, ...]:
        """Several runs, in the order named, each once; full ids are read together.

        Raises: as `run`.
        """
        each = [one for reference in references for one in _runs_of_link(reference)]
        texts = list(dict.fromkeys(map(_run_text, each)))
        ids = [text for text in texts if _RUN_ID.fullmatch(text)]
        by_text: dict[str, Run] = {}
        if len(ids) > 1:
            experiment_ids = [experiment.experiment_id for experiment in await self.all_experiments()]
            for start in range(0, len(ids), _IDS_PER_SEARCH):
                some = ids[start : start + _IDS_PER_SEARCH]
                page = await self._api.search_runs(
                    experiment_ids,
                    filter_string=f"attributes.run_id IN ({', '.join(quoted(i) for i in some)})",
                    view_type="ALL",
                    max_results=len(some),
                )
                by_text.update((run.run_id, run) for run in page.items)
        for text in texts:
            if text not in by_text:
                # Not found by that search: names, prefixes, runs of deleted or new experiments.
                by_text[text] = await self.run(text)
        return tuple({by_text[text].run_id: by_text[text] for text in texts}.values())

    async def _only(
        self, filter_string: str, text: str, matches: Callable[[Run], bool], view_type: ViewType
    ) -> Run | None:
        """The one run that a filter finds and that matches. Raises: AmbiguousError: several; the text lists them."""
        experiments = {e.experiment_id: e.name for e in await self.all_experiments()}
        if not experiments:
            return None
        page = await self._api.search_runs(
            list(experiments), filter_string=filter_string, view_type=view_type, max_results=_CANDIDATES
        )
        found = [run for run in page.items if matches(run)]
        if len(found) > 1:
            listed = "; ".join(_label(run, experiments.get(run.experiment_id, "")) for run in found[:_LISTED])
            more = " and more" if len(found) > _LISTED else ""
            raise AmbiguousError(f"'{shown(text)}' matches several runs: {listed}{more}. Give the id of one.")
        return found[0] if found else None

    async def _no_experiment(self, text: str) -> NotFoundError:
        try:
            self.forget()
            near = did_you_mean(text, [experiment.name for experiment in await self.all_experiments()])
        except MlflowToolError:
            near = ""  # Working out a suggestion never replaces the error that it is for.
        several = " Several experiments are given as a list, not as one text." if "," in text else ""
        return NotFoundError(
            f"No experiment '{shown(text)}'.{near}{several} Give an id, an exact name or a UI link; "
            "search_experiments lists them."
        )


def _name_clauses(text: str) -> Iterator[tuple[str, Callable[[Run], bool]]]:
    """Filters for runs of a name, the exact one first, each with the test that its findings must pass."""
    # _ stands for any character.
    loose = f"attributes.run_name ILIKE {quoted(re.sub(_UNQUOTABLE, '_', text))}"
    try:
        exact = f"attributes.run_name = {quoted(text)}"
    except InvalidInputError:
        exact = loose  # Both kinds of quotes, or a backslash at the end.
    folded = text.casefold()
    yield exact, lambda run: run.run_name == text
    yield loose, lambda run: run.run_name.casefold() == folded


def _runs_of_link(reference: str) -> list[str]:
    """The runs of a link to the page on which MLflow compares them; any other reference as it is."""
    link = _COMPARED_RUNS.search(unquote(reference)) if "compare-runs" in reference else None
    return re.findall(r"[\w-]+", link["ids"]) if link else [reference]


def _run_text(reference: str) -> str:
    text = reference.strip()
    if link := _RUN_LINK.search(text) or _RUN_LINK.search(unquote(text)):
        return link["id"]
    if _UUID.fullmatch(text):
        return text.replace("-", "").lower()
    if not text:
        raise InvalidInputError("The run is empty. Give an id, a name or a UI link; search_runs lists them.")
    return text.lower() if re.fullmatch(r"[0-9A-Fa-f]{32}", text) else text


def _no_run(text: str) -> NotFoundError:
    if text.lower() in ("latest", "last", "newest"):
        return NotFoundError(f"No run is called '{text}'. search_runs with max_results=1 shows the newest run.")
    several = " Several runs are given as a list, not as one text." if "," in text else ""
    return NotFoundError(
        f"No run '{shown(text)}'.{several} Give an id, a unique prefix of one (6 characters or more), a name or a "
        "UI link; search_runs lists them."
    )


def _label(run: Run, experiment: str) -> str:
    at = utc(run.start_time)
    started = at.strftime("%Y-%m-%d %H:%M") if at else f"start {run.start_time}"  # Some clients log nanoseconds.
    return f"{run.run_id} ({shown(run.run_name)}, {shown(experiment)}, {run.status}, {started})"
