"""The trackers of one server: each an MLflow of its own, with its own connections, credentials, caches and policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mcp_server.errors import InvalidInputError, SettingsError
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.operations.writing.key_locks import KeyLocks
from mcp_server.promotion_policy import PromotionPolicy, read_policy
from mcp_server.settings import Settings, variable_of
from mcp_server.suggestions import did_you_mean
from mcp_server.tracker_settings import settings_by_tracker
from mcp_server.untrusted import shown


@dataclass(frozen=True, slots=True)
class Tracker:
    """One MLflow, and the promotion policy that holds there."""

    engine: Engine
    policy: PromotionPolicy
    name: str = ""
    """Empty where there is only one."""

    @property
    def read_only(self) -> bool:
        return self.engine.settings.read_only


@dataclass(frozen=True, slots=True)
class Trackers:
    """All of them, the default first."""

    all: tuple[Tracker, ...]
    copying: KeyLocks = field(default_factory=KeyLocks)
    """One copy of a model version at a time."""

    @classmethod
    def over(cls, engines: Sequence[Engine]) -> Trackers:
        """Trackers over engines that are open; one engine needs no name.

        Raises: SettingsError: a promotion policy cannot be read, or two trackers are stores inside this process.
        """
        local = [engine.settings.tracker for engine in engines if engine.location.local_store is not None]
        if len(local) > 1:
            raise SettingsError(
                f"{' and '.join(local)} in MLFLOW_MCP_TRACKERS are stores that MLflow opens inside this process, and "
                "it can open only one there. Start `mlflow server` for the others and give their addresses."
            )
        several = len(engines) > 1
        return cls(tuple(Tracker(e, _policy(e.settings), e.settings.tracker if several else "") for e in engines))

    @property
    def default(self) -> Tracker:
        """The tracker of calls that name none."""
        return self.all[0]

    @property
    def several(self) -> bool:
        return len(self.all) > 1

    @property
    def names(self) -> tuple[str, ...]:
        """Empty where there is only one."""
        return tuple(tracker.name for tracker in self.all) if self.several else ()

    @property
    def read_only(self) -> bool:
        """Whether none of them may be changed."""
        return all(tracker.read_only for tracker in self.all)

    def find(self, name: object) -> Tracker | None:
        """The tracker that an argument names, in any case."""
        meant = name.strip().casefold() if isinstance(name, str) else None
        return next((tracker for tracker in self.all if tracker.name == meant), None)

    def get(self, name: str) -> Tracker:
        """Raises: InvalidInputError: there is no such tracker."""
        found = self.find(name)
        if found is None:
            near = did_you_mean(name, self.names)
            raise InvalidInputError(f"No tracker '{shown(name)}'.{near} Trackers: {', '.join(self.names)}.")
        return found

    def close(self) -> None:
        """As `Engine.close`, of all."""
        for tracker in self.all:
            tracker.engine.close()

    async def aclose(self) -> None:
        """As `Engine.aclose`, of all."""
        for tracker in self.all:
            await tracker.engine.aclose()


def open_trackers(settings: Settings) -> Trackers:
    """The trackers that the settings list, or the one MLflow that they lead to; nothing is connected yet.

    Raises: SettingsError: they cannot work together, or a promotion policy cannot be read.
    """
    every = settings_by_tracker(settings).values()
    for one in every:
        one.remember_secrets()
    return Trackers.over([open_engine(one) for one in every])


def _policy(settings: Settings) -> PromotionPolicy:
    try:
        return read_policy(settings.promotion_policy)
    except SettingsError as error:
        variable = settings.variable("promotion_policy")
        raise SettingsError(str(error).replace(variable_of("promotion_policy"), variable)) from None


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What a request works with: the tracker that it chose, and all of them."""

    tracker: Tracker
    trackers: Trackers

    @property
    def engine(self) -> Engine:
        return self.tracker.engine

    @property
    def policy(self) -> PromotionPolicy:
        return self.tracker.policy
