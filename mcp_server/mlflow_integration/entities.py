"""What MLflow keeps, as frozen values. Times are UTC milliseconds since the epoch, as MLflow stores them.

Plain data classes and not pydantic models: a page of 1,000 runs is built from JSON that MLflow has
already validated, and validating it again costs more than parsing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ALIAS_OF_STAGE: Final = {"Production": "champion", "Staging": "challenger"}
"""The alias that replaces a stage. MLflow deprecated stages in 2.9 in favour of aliases."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a search, in the order MLflow gave."""

    items: tuple[T, ...]
    next_page_token: str = ""
    """Empty on the last page."""


@dataclass(frozen=True, slots=True)
class Experiment:
    experiment_id: str
    name: str
    lifecycle_stage: str = "active"
    """`active` or `deleted`."""
    artifact_location: str = ""
    creation_time: int = 0
    last_update_time: int = 0
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    context: str = ""
    """What the run used it for: `training`, `validation`, ... (tag `mlflow.data.context`)."""
    schema: str = ""
    """Columns and types, as JSON."""


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    experiment_id: str
    run_name: str = ""
    status: str = ""
    """RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""
    start_time: int = 0
    end_time: int = 0
    """0 while the run goes on."""
    lifecycle_stage: str = "active"
    artifact_uri: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Latest value of each metric; NaN and infinities as Python floats."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """As the text MLflow stores: "0.10" and "0.1" differ on purpose."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    datasets: tuple[Dataset, ...] = ()
    logged_model_ids: tuple[str, ...] = ()
    """LoggedModels this run produced (MLflow 3), oldest first."""
    settled: str = ""
    """`chosen` or `superseded` where several processes made a run of one idempotency key; kept apart from `params`."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    step: int
    value: float
    timestamp: int


@dataclass(frozen=True, slots=True)
class SeriesTotals:
    """What a store counted over every point of a series, and a sample of it cannot show."""

    count: int
    nan_count: int
    infinity_count: int
    """Both signs."""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """Values of one metric of one run, ordered by step, then time."""

    run_id: str
    key: str
    points: tuple[MetricPoint, ...]
    sampled: bool = False
    """True when MLflow holds more points than these: what is not in `totals` is then known of the sample only."""
    totals: SeriesTotals | None = None
    """Of a sampled series, where the store can say. The points then hold the extremes, the first NaN and the first
    infinity of all."""


@dataclass(frozen=True, slots=True)
class LoggedModel:
    model_id: str
    name: str
    experiment_id: str
    source_run_id: str = ""
    artifact_uri: str = ""
    status: str = ""
    creation_time: int = 0
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class ModelVersion:
    name: str
    version: str
    """A whole number as text, as MLflow gives it."""
    run_id: str = ""
    model_id: str = ""
    """The LoggedModel it was made from (MLflow 3)."""
    source: str = ""
    status: str = ""
    """READY, PENDING_REGISTRATION or FAILED_REGISTRATION."""
    stage: str = ""
    """None, Staging, Production or Archived; deprecated by MLflow in favour of aliases."""
    description: str = ""
    creation_time: int = 0
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    name: str
    description: str = ""
    creation_time: int = 0
    last_update_time: int = 0
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    version_by_alias: Mapping[str, str] = field(default_factory=dict[str, str])
    latest_versions: tuple[ModelVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    path: str
    is_dir: bool
    file_size: int = 0
    """Bytes; 0 for a folder."""
