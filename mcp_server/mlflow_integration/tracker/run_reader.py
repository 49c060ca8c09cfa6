"""Reading runs back in a training script: one run, a search, a curve, a comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.tracker.run_records import RunRecord, compare_records, run_record, runs_frame

if TYPE_CHECKING:
    import pandas as pd


class RunReader(ABC):
    """Reads the runs of one experiment. Buffered metrics are sent first, so that they are seen."""

    _client: Any
    """MLflow's own client, which types half of its methods."""

    @property
    @abstractmethod
    def experiment_id(self) -> str: ...

    @abstractmethod
    def flush(self) -> None:
        """Sends the metrics that are still buffered."""

    def get_run(self, run_id: str) -> RunRecord:
        """One run as a dictionary: `run["params"]`, `run["metrics"]` (latest values), `run["status"]`, ..."""
        self.flush()
        return run_record(self._client.get_run(run_id))

    def get_metric_history(self, run_id: str, key: str) -> list[dict[str, Any]]:
        """Every point of one metric as `{"step", "value", "timestamp"}` (milliseconds since 1970), ordered by step."""
        self.flush()
        points = self._client.get_metric_history(run_id, key)
        ordered = sorted(points, key=lambda point: (point.step, point.timestamp))
        return [{"step": point.step, "value": point.value, "timestamp": point.timestamp} for point in ordered]

    @overload
    def search_runs(
        self, filter_string: str = "", max_results: int = 1_000, order_by: Sequence[str] | None = None
    ) -> list[RunRecord]: ...
    @overload
    def search_runs(
        self,
        filter_string: str = "",
        max_results: int = 1_000,
        order_by: Sequence[str] | None = None,
        *,
        output_format: Literal["pandas"],
    ) -> pd.DataFrame: ...

    def search_runs(
        self,
        filter_string: str = "",
        max_results: int = 1_000,
        order_by: Sequence[str] | None = None,
        *,
        output_format: Literal["list", "pandas"] = "list",
    ) -> list[RunRecord] | pd.DataFrame:
        """Runs of this experiment, newest first unless `order_by` says otherwise.

        filter_string: MLflow's grammar, such as `metrics.accuracy > 0.9 and params.model = 'cnn'`.
        output_format: "list" of dictionaries as `get_run` gives them, or a "pandas" DataFrame.
        """
        self.flush()
        records: list[RunRecord] = []
        token: str | None = None
        while len(records) < max_results:
            wanted = min(max_results - len(records), 1_000)
            page = self._client.search_runs(
                [self.experiment_id], filter_string, max_results=wanted, order_by=list(order_by or ()), page_token=token
            )
            records += [run_record(run) for run in page]
            token = page.token
            if not token:
                break
        return runs_frame(records) if output_format == "pandas" else records

    def compare_runs(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """Runs side by side: `comparison["params"]["lr"]["run_1"]`, `comparison["metrics"]["accuracy"]["run_2"]`.

        `run_1`, `run_2`, ... are in the order given. Params are those that differ, metrics those that every run
        has; `same_params`, `partial_metrics` and `runs` hold the rest: see `run_records.compare_records`.
        """
        if not run_ids:
            raise InvalidInputError("Name the runs to compare; search_runs finds them.")
        return compare_records([self.get_run(run_id) for run_id in run_ids])
