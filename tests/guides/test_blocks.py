"""The Python blocks of the guides that need nothing beside MLflow, from their own text; the page that lists all.

All blocks in all settings: `python -m tests.guides.measure`; those for a shell: `python -m tests.guides.measure_shell`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import outcomes, page
from .blocks import Block, blocks
from .catalogue import CATALOGUE, NAMED, NOTHING
from .executor import Runner, empty_database, missing, run_forked, run_script
from .requests import COMPAT, PLAIN, RUN, SUBSTITUTED, Place, Result
from .requests import request as request_for
from .shell_catalogue import SHELL_CATALOGUE

PYTHON = {one.name: one for one in blocks() if one.language == "python"}

MODES = {outcomes.AS_WRITTEN: PLAIN, outcomes.WITH_COMPAT: COMPAT, outcomes.WITH_SUBSTITUTION: SUBSTITUTED}


FRESH = (("0.14", NOTHING, PLAIN), ("1.17", NOTHING, PLAIN), ("2.17", NOTHING, COMPAT), ("3.7", NOTHING, RUN))
"""Guide 0's functions without any configuration, a mock tracker, and both forms of `compat`."""


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database to begin with: making its tables takes MLflow 5 s."""
    return empty_database(tmp_path_factory.mktemp("empty") / "mlflow.db")


@pytest.mark.parametrize("name", PYTHON)
def test_a_block_does_what_the_page_says(name: str, empty: str, tmp_path: Path, request: pytest.FixtureRequest):
    """Refused by MLflow means that it still is: otherwise the page has to be made again."""
    entry, kept = CATALOGUE[name], outcomes.kept()[name]
    if lacking := missing(entry):
        pytest.skip(f"block {name} needs {', '.join(lacking)}")
    if entry.slow:
        pytest.skip(f"block {name} takes minutes")
    setting = entry.settings[0]
    server = request.getfixturevalue("mlflow_server") if setting == NAMED else ""
    place = Place(tmp_path, server, empty, quick=True)

    if kept.outcome != outcomes.AS_WRITTEN:
        refused = _run(PYTHON[name], setting, PLAIN, place)
        assert not refused.ok and not refused.broken, refused
        assert refused.error.partition(":")[0] == kept.refusal.partition(":")[0], refused.error
    if mode := MODES.get(kept.outcome):
        result = _run(PYTHON[name], setting, mode, place)
        assert result.ok, f"{result.error}\n{result.trace}"


@pytest.mark.parametrize(("name", "setting", "mode"), FRESH)
def test_a_block_runs_as_a_script_of_its_own(name: str, setting: str, mode: str, tmp_path: Path):
    """`python block.py` in a new interpreter and an empty folder: a sample, because each takes seconds."""
    result = _run(PYTHON[name], setting, mode, Place(tmp_path, quick=True), run_script)
    assert result.ok, f"{result.error}\n{result.trace}"


def test_every_block_is_run_and_its_outcome_is_that_of_its_text():
    """A block whose text changes has to be run again."""
    expected = {one.name: one.digest for one in blocks()}
    assert {name: outcome.digest for name, outcome in outcomes.kept().items()} == expected
    assert {*CATALOGUE, *SHELL_CATALOGUE} == {*expected}
    assert len(PYTHON) == 76 and len(expected) == 106


def test_the_pages_in_the_docs_are_made_from_the_outcomes_and_the_code():
    assert page.FILE.read_text(encoding="utf-8") == page.page(), "run python -m tests.guides.page"
    assert page.COMPAT_FILE.read_text(encoding="utf-8") == page.compat_page(), "run python -m tests.guides.page"


def test_at_least_70_of_76_python_blocks_run_as_written_or_with_compat():
    kept = outcomes.kept()
    run = [name for name in PYTHON if kept[name].outcome in (outcomes.AS_WRITTEN, outcomes.WITH_COMPAT)]
    assert len(run) >= 70
    for name in set(PYTHON) - set(run):
        assert kept[name].refusal


def test_what_mlflow_refuses_is_refused_without_this_package():
    """Guides 2 to 4 use MLflow alone: when their blocks fail as written, nothing of this package was loaded."""
    proved = [one for one in outcomes.kept().values() if one.name in PYTHON and one.refusal and one.name[0] in "234"]
    assert proved
    assert [one.name for one in proved if one.ours] == []


def _run(one: Block, setting: str, mode: str, place: Place, runner: Runner = run_forked) -> Result:
    return runner(request_for(one, setting, mode, place))
