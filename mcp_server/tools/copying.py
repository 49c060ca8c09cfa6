"""Model versions copied between trackers."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Resolve
from pydantic import Field

from mcp_server.copies.model_copies import CopyOrder, ModelCopies
from mcp_server.copies.sources import CopySource, own_tags, read_source
from mcp_server.errors import InvalidInputError
from mcp_server.rendering import Record
from mcp_server.tools._confirm import Question
from mcp_server.tools._context import AllTrackers, ReportProgress
from mcp_server.tools._model_views import created_hint
from mcp_server.tools._params import ModelName, Version
from mcp_server.trackers import Tracker


async def _source(trackers: AllTrackers, name: str, version: str, from_tracker: str, to_tracker: str) -> CopySource:
    source, target = trackers.get(from_tracker), trackers.get(to_tracker)
    if source is target:
        raise InvalidInputError(
            f"from_tracker and to_tracker are both '{source.name}'. Within one tracker promote_model makes a copy in "
            "another registered model (to_model)."
        )
    return await read_source(source.engine, name, version)


Source = Annotated[CopySource, Resolve(_source)]


async def ask_copy(
    trackers: AllTrackers, source: Source, from_tracker: str, to_tracker: str, to_model: str
) -> Question | None:
    """Asks only where the policy of the target requires a person to approve copies."""
    version, target = source.version, trackers.get(to_tracker)
    model = to_model.strip() or version.name
    if not target.policy.copies_need_person(model):
        return None
    what = f"version {version.version} of model '{version.name}'"
    return Question(
        f"Copy {what} from tracker {trackers.get(from_tracker).name} into model '{model}'?",
        confirm_name=f"{version.name} version {version.version}",
        person_only=True,
    )


async def copy_model(
    trackers: AllTrackers,
    source: Source,
    report_progress: ReportProgress,
    name: ModelName,
    version: Version,
    from_tracker: Annotated[str, Field(description="Tracker that has the version; get_server_info lists trackers.")],
    to_tracker: Annotated[str, Field(description="Tracker to copy to.")],
    to_model: Annotated[str, Field(max_length=500, description="Registered model there. Default: the same name.")] = "",
    experiment: Annotated[str, Field(description="Experiment there for the run. Default: the same name.")] = "",
) -> Record:
    """Copy a model version to another tracker: its files, and the params, metrics, tags and datasets of its run.

    The copy has no alias; promote_model gives it one, through the gates there. Repeating an interrupted call
    continues it and never creates a second version.
    """
    target, model = trackers.get(to_tracker), to_model.strip() or source.version.name
    order = CopyOrder(model, experiment.strip() or source.experiment, lambda key: not target.policy.protects(key))
    copies = ModelCopies(trackers.get(from_tracker).engine, target.engine)
    async with trackers.copying.alone(f"{target.name} {copies.key(source.version)}"):
        copied = await copies.copy(source, order, report_progress)
    made = copied.registered.version
    left_out = _left_out(source, target)
    hint = "This version was copied before; nothing was written." if copied.registered.existed else ""
    return Record(
        {
            "tracker": target.name,
            "name": made.name,
            "version": made.version,
            "created": "model" if copied.registered.created_model else "",
            "run_id": copied.run_id,
            "copied_from": f"{source.version.name} version {source.version.version} of {from_tracker}",
            "files": len(source.files),
            "size_bytes": source.size,
            "files_sent": copied.uploaded,
            "compared_by_content": copied.compared or None,
            "metrics": len(source.metrics),
            "params": len(source.params),
            "tags_left_out": left_out,
            "url": await target.engine.registry.model_url(made.name, made.version),
        },
        hint=hint or created_hint(copied.registered),
    )


def _left_out(source: CopySource, target: Tracker) -> list[str]:
    """Tags that the policy of the target protects."""
    tags = own_tags({**source.tags, **source.version.tags}, lambda _: True)
    return sorted(key for key in tags if target.policy.protects(key))
