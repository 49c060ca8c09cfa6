"""What MLflow's system metrics say: processors that wait, memory and disks that are full."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from mcp_server.analysis.diagnosis.findings import Finding
from mcp_server.mlflow_integration.entities import MetricSeries

FEWEST_SAMPLES: Final = 5
"""Values of a system metric below which nothing is said: MLflow samples every 10 s."""
IDLE_GPU: Final = 30.0
"""Percent; a GPU whose median utilization is below it mostly waits."""
BUSY_CPU: Final = 85.0
"""Percent; above it the CPU is probably what the GPU waits for."""
IDLE_CPU: Final = 5.0
"""Percent of all cores, in a run without a GPU."""
FULL: Final = 95.0
"""Percent of memory or disk."""

_CPU: Final = "system/cpu_utilization_percentage"
_GPU: Final = re.compile(r"system/gpu_(\w+?)_utilization_percentage")
_FULL: Final = re.compile(r"system/((?:gpu_\w+?_)?(?:system_)?memory_usage_percentage|disk_usage_percentage)")


def is_judged(metric: str) -> bool:
    """Whether `machine_findings` reads a metric."""
    return metric == _CPU or bool(_GPU.fullmatch(metric) or _FULL.fullmatch(metric))


def machine_findings(series: Sequence[MetricSeries]) -> Iterator[Finding]:
    """Findings from `system/*` metrics; nothing where they were not logged."""
    values = {one.key: [point.value for point in one.points if math.isfinite(point.value)] for one in series}
    known = {key: found for key, found in values.items() if len(found) >= FEWEST_SAMPLES}
    cpu = known.get(_CPU)
    cpu_level = median(cpu) if cpu else None
    gpus = {key: median(found) for key, found in known.items() if _GPU.fullmatch(key)}
    for key, level in gpus.items():
        if level < IDLE_GPU:
            yield Finding("GPU starved", "warning", f"{key}: median {level:.3g} %{_because(cpu_level)}.", key)
    if not gpus and cpu_level is not None and cpu_level < IDLE_CPU:
        text = f"{_CPU}: median {cpu_level:.3g} % of all cores; the run mostly waits."
        yield Finding("CPU idle", "note", text, _CPU)
    for key, found in known.items():
        if _FULL.fullmatch(key) and max(found) >= FULL:
            yield Finding("nearly full", "warning", f"{key}: up to {max(found):.3g} %.", key)


def _because(cpu_level: float | None) -> str:
    if cpu_level is None:
        return "; it mostly waits"
    if cpu_level >= BUSY_CPU:
        return f"; the CPU is at {cpu_level:.3g} %, so it probably waits for data that the CPU prepares"
    return f"; the CPU is at {cpu_level:.3g} %, so both probably wait for a disk, a network or each other"
