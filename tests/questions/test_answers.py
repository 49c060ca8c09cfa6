"""Answers that are facts: curves with a spike and a NaN inside, reasons for nothing found, pages to the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine, engine_over, open_engine
from mcp_server.mlflow_integration.operations.searching.why_empty import NO_REASON
from mcp_server.rendering import ANSWER_LIMIT, dumps
from mcp_server.settings import Settings
from tests.conftest import Agent, connect
from tests.questions.store import NAN_STEP, SPIKE_STEP

Name = Callable[[str], str]


async def test_a_spike_and_a_nan_inside_a_long_curve_are_found_or_said_to_be_sampled_away(engine: Engine, name: Name):
    """The sample of a server is marked and says how to be exact; what is exact has the spike and counts the NaN.

    A store in this process is exact at once.
    """
    curve: list[list[Any]] = [[step, 1.0 / (step + 1)] for step in range(10_000)]
    curve[SPIKE_STEP][1], curve[NAN_STEP][1] = 40.0, "NaN"
    async with connect(engine) as agent:
        logged = await agent.ask("log_run", experiment=name("curves"), metrics={"loss": curve})
        asked = {"runs": [logged["run_id"]], "metrics": ["loss"]}
        default = await agent.ask("get_metric_history", **asked)
        (exact,) = await agent.rows("get_metric_history", **asked, exact=True)
    (row,) = [dict(zip(default["columns"], row, strict=True)) for row in default["rows"]]
    assert (row["first"], row["last"]) == ("1 @0", "0.0001 @9999")
    if engine.location.local_store is None:
        assert row["points"].endswith(" sampled")
        assert "exact=true" in default["hint"]
    else:
        assert row == exact
    assert exact["points"] == 10_000
    assert exact["max"] == f"40 @{SPIKE_STEP}"
    assert (exact["nan"], exact["first_nan_step"]) == (1, NAN_STEP)
    assert (exact["spikes"], exact["largest_spike"]) == (1, f"40 @{SPIKE_STEP}")


async def test_no_direction_is_claimed_for_a_resource(engine: Engine, name: Name):
    """Seconds and memory neither improve nor converge."""
    async with connect(engine) as agent:
        run = await agent.ask(
            "log_run",
            experiment=name("machine"),
            metrics={"system/memory_mb": [[step, 100.0 + step] for step in range(50)]},
        )
        (row,) = await agent.rows("get_metric_history", runs=run["run_id"], metrics="system/memory_mb")
    assert row["last"] == "149 @49"
    assert not {"best_step", "trend_at_end", "plateau_since"} & {key for key, value in row.items() if value != ""}


WHY_EMPTY: list[tuple[str, dict[str, Any], str]] = [
    ("unknown metric", {"filter_string": "metrics.acuracy > 0.1"}, r"none has the metric 'acuracy'. Closest: accuracy"),
    ("value out of reach", {"filter_string": "metrics.accuracy > 2"}, r"lies between 0.5 and 0.9"),
    ("other text", {"filter_string": "params.model = 'rnn'"}, r"it is: 'cnn', 'mlp'"),
    ("unknown param", {"filter_string": "params.modle = 'cnn'"}, r"none has the param 'modle'. Closest: model"),
    ("unknown tag", {"filter_string": "tags.temas = 'a'"}, r"none has the tag 'temas'. Closest: team"),
    (
        "a tag of MLflow's",
        {"filter_string": "tags.`mlflow.user` = 'nobody'"},
        r"satisfies tags.mlflow.user = 'nobody'.* it is",
    ),
    ("status", {"filter_string": "status = 'FAILED'"}, r"Of all 2 runs: 2 FINISHED"),
    ("name", {"filter_string": "run_name = 'c'"}, r"Names of all 2 runs: mlp, cnn\.$"),
    ("time", {"until": "2001-01-01"}, r"started at \d{4}-[\d: -]+, the earliest at [\d: -]+ UTC\.$"),
    ("dataset", {"filter_string": "datasets.name = 'x'"}, r"Datasets of all 2 runs: customers\.$"),
    ("duration", {"filter_string": "duration > 99999999"}, r"All 2 runs took 0 to 0 s\.$"),
    ("null", {"filter_string": "params.model IS NULL"}, r"Of all 2 runs, every one has it"),
    (
        "only together",
        {"filter_string": "params.model = 'cnn' and metrics.accuracy > 0.7"},
        r"each clause alone, but none satisfies all",
    ),
    (
        "one too many",
        {"filter_string": "params.model = 'cnn' and metrics.accuracy < 0.7 and tags.team = 'b'"},
        r"satisfy each clause alone; without tags.team = 'b' some satisfy the others together\.$",
    ),
    ("deleted", {"deleted": True}, r"no deleted run"),
]


async def test_why_nothing_was_found_is_tested_and_counted(engine: Engine, name: Name):
    """Every branch; the reasons name what was looked at."""
    churn = name("churn")
    wrong: list[str] = []
    async with connect(engine) as agent:
        data = [{"name": "customers", "digest": "1"}]
        for model, accuracy, team in (("cnn", 0.5, "a"), ("mlp", 0.9, "b")):
            await agent.ask(
                "log_run",
                experiment=churn,
                run_name=model,
                params={"model": model},
                metrics={"accuracy": accuracy},
                tags={"team": team},
                datasets=data,
            )
        for what, arguments, pattern in WHY_EMPTY:
            table = await agent.ask("search_runs", experiments=[churn], **arguments)
            if table["rows"] or not re.search(pattern, table.get("hint", "")):
                wrong.append(f"{what}: {table}")
        empty = name("empty")
        await agent.ask("create_experiment", name=empty)
        hint = (await agent.ask("search_runs", experiments=[empty]))["hint"]
        assert hint == (
            f"There is no run in experiment '{empty}'. log_run logs one; search_experiments lists other experiments."
        )
    assert wrong == []


async def test_why_nothing_was_found_in_odd_places(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """One run, values that are no numbers, several experiments, deleted runs and experiments, many clauses."""
    async with connect(mock_engine) as agent:

        async def hint(*experiments: str, clauses: str = "", **more: Any) -> str:
            table = await agent.ask("search_runs", experiments=experiments, filter_string=clauses, **more)
            assert table["rows"] == []
            return table["hint"]

        lonely = await agent.ask("log_run", experiment="one", run_name="lonely", metrics={"loss": "NaN"})
        assert await hint("one", clauses="metrics.loss > 1") == (
            "No run in experiment 'one' satisfies metrics.loss > 1. In the only run it is NaN or missing."
        )
        assert await hint("one", clauses="tags.`mlflow.absent` = 'x'") == (
            "No run in experiment 'one' satisfies tags.mlflow.absent = 'x'. "
            "Of the only run, none has the tag 'mlflow.absent'."
        )
        for number in range(12):
            params = {"number": str(number), "fixed": "1", "odd": str(number % 2)}
            await agent.ask("log_run", experiment="many", params=params, metrics={"m": number})
        assert await hint("many", clauses="params.number = 'x'") == (
            "No run in experiment 'many' satisfies params.number = 'x'. In all 12 runs it is: '0', '1', '10', '11', "
            "'2', '3', '4', '5', '6', '7' and 2 more."
        )
        assert await hint("one", "many", clauses="metrics.m > 99") == (
            "No run in the 2 experiments satisfies metrics.m > 99. In all 13 runs it lies between 0 and 11."
        )
        assert await hint("many", clauses="params.odd = '1' and params.number = '2' and duration < '1h'") == (
            "Runs in experiment 'many' exist, but none of those that satisfy params.odd = '1' and params.number = '2' "
            "satisfies attributes.duration < '1h'."
        )
        nine = " and ".join(["params.fixed = '1'"] * 7 + ["params.odd = '1'", "params.number = '2'"])
        assert await hint("many", clauses=nine) == (
            "Runs in experiment 'many' exist, but none satisfies all 9 clauses together."
        )
        day, first = 86_400_000, 1_704_067_200_000
        for start, end in ((first, first + day), (first + 31 * day, first + 33 * day)):
            await agent.ask("log_run", experiment="times", start_time=start, end_time=end)
        ended = "The latest of all 2 runs ended at 2024-02-03 00:00:00, the earliest at 2024-01-02 00:00:00 UTC."
        assert (await hint("times", clauses="end_time < 5")).endswith(f"satisfies attributes.end_time < 5. {ended}")
        started = "The latest of all 2 runs started at 2024-02-01 00:00:00, the earliest at 2024-01-01 00:00:00 UTC."
        assert (await hint("times", clauses="start_time < 5")).endswith(started)
        assert (await hint("times", clauses="duration < '1h'")).endswith("All 2 runs took 8.64e+04 to 1.728e+05 s.")
        with monkeypatch.context() as few:
            few.setattr("mcp_server.mlflow_integration.operations.searching.why_empty._SAMPLE", 2)
            assert await hint("many", clauses="params.absent = 'x'") == (
                "No run in experiment 'many' satisfies params.absent = 'x'. "
                "Of the latest 2 runs, none has the param 'absent'. They have: fixed, number, odd."
            )
            unseen = await hint("many", clauses="duration > '99h'")
            assert unseen.startswith("Runs in experiment 'many' exist"), "not of runs that were not looked at"
        await agent.ask("delete_runs", runs=[lonely["run_id"]], confirm_name="lonely")
        deleted = "Deleted runs exist; search_runs with deleted=true lists them."
        assert await hint("one") == f"There is no run in experiment 'one'. {deleted}"
        await agent.ask("create_experiment", name="gone")
        await agent.ask("delete_experiment", experiment="gone", confirm_name="gone")
        assert await hint("gone") == (
            "There is no run in experiment 'gone'. "
            "The experiment is deleted; update_experiment with restore=true restores it."
        )
        assert await hint("gone", "one") == f"There is no run in the 2 experiments. {deleted}"


async def test_what_was_not_found_out_in_time_is_said(mock_engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """The answer itself does not wait: why nothing was found, and what belongs to a run."""
    operations = "mcp_server.mlflow_integration.operations"
    async with connect(mock_engine) as agent:
        run = await agent.ask("log_run", experiment="churn", run_name="one", metrics={"accuracy": 0.5})
        before = await agent.ask("get_run", run=run["run_id"])
        monkeypatch.setattr(f"{operations}.searching.why_empty._SECONDS", 0.0)
        monkeypatch.setattr(f"{operations}.run_surroundings._SECONDS", 0.0)
        nothing = await agent.ask("search_runs", experiments=["churn"], filter_string="metrics.accuracy > 2")
        alone = await agent.ask("get_run", run=run["run_id"])
    assert nothing["hint"] == NO_REASON
    assert "Could not be read in time: children, registered_versions." in alone["hint"]
    assert "in time" not in before.get("hint", "")
    assert alone["metrics"] == before["metrics"]


async def test_a_prefix_is_accepted_when_it_is_unique_and_long_enough(engine: Engine, name: Name):
    """The ten characters of the text half work; five do not, and a name that two runs share is refused with both."""
    place = name("prefixes")
    async with connect(engine) as agent:
        one = await agent.ask("log_run", experiment=place, run_name=name("twin"))
        twin = await agent.ask("log_run", experiment=place, run_name=one["run_name"])
        assert (await agent.ask("get_run", run=one["run_id"][:10]))["run_id"] == one["run_id"]
        refusal = await agent.refusal("get_run", run=one["run_id"][:5])
        ambiguous = await agent.refusal("get_run", run=one["run_name"])
    assert "6 characters" in refusal
    assert one["run_id"] in ambiguous and twin["run_id"] in ambiguous


async def test_since_and_until_leave_out_runs_that_started_before_and_after(mock_engine: Engine):
    """A run of 2023 and one of today."""
    async with connect(mock_engine) as agent:
        old = await agent.ask("log_run", experiment="churn", run_name="old", start_time=1_700_000_000_000)
        new = await agent.ask("log_run", experiment="churn", run_name="new")
        recent = await agent.rows("search_runs", experiments=["churn"], since="7d")
        early = await agent.rows("search_runs", experiments=["churn"], until="2024-01-01")
    assert [row["run_id"] for row in recent] == [new["run_id"]]
    assert [row["run_id"] for row in early] == [old["run_id"]]


async def test_a_call_without_an_experiment_uses_the_default_one():
    """Logging creates it; searching and ranking look nowhere else."""
    engine = open_engine(Settings.load(mock_mode=True, experiment_name="churn"))
    try:
        async with connect(engine) as agent:
            logged = await agent.ask("log_run", run_name="here", metrics={"accuracy": 0.5})
            await agent.ask("log_run", experiment="fraud", run_name="there", metrics={"accuracy": 0.9})
            found = await agent.rows("search_runs")
            best = await agent.ask("rank_runs", metric="accuracy", direction="max")
    finally:
        engine.close()
    assert logged["experiment"] == "churn"
    assert [row["run_id"] for row in found] == [logged["run_id"]]
    assert logged["run_id"] in str(best["rows"]) and len(best["rows"]) == 1


async def pages(agent: Agent, tool: str, key: str, **arguments: Any) -> list[list[str]]:
    """The values of one column on every page of a tool, each page within the limit."""
    found: list[list[str]] = []
    token = ""
    while True:
        result = await agent.client.call_tool(tool, {**arguments, "page_token": token})
        text, structured = result.content[0].text, result.structured_content  # type: ignore[union-attr]
        assert not result.is_error, text
        assert structured is not None
        assert max(len(text), len(dumps(structured))) <= ANSWER_LIMIT
        found.append([row[structured["columns"].index(key)] for row in structured["rows"]])
        token = structured.get("next_page_token", "")
        if not token:
            return found
        assert len(found) < 500


@pytest.mark.parametrize(
    ("most", "more"),
    [
        (7, {}),
        (1_000, {}),
        (1_000, {"columns": ["tags.*"]}),
        (11, {"order_by": ["duration DESC"]}),
        (9, {"since": "1h"}),
    ],
    ids=["small pages", "one page", "rows that are cut", "sorted here", "since"],
)
async def test_pages_of_runs_hold_every_run_once(mock_engine: Engine, most: int, more: dict[str, Any]):
    """Also where an answer is cut to its budget: the next page begins with the first run that was left out."""
    async with connect(mock_engine) as agent:
        ids = [
            (
                await agent.ask(
                    "log_run", experiment="pages", tags={f"note{key}": "x" * 190 for key in range(6)}, params={"i": i}
                )
            )["run_id"]
            for i in range(60)
        ]
        found = await pages(agent, "search_runs", "run_id", experiments=["pages"], max_results=most, **more)
    assert sorted(run_id for page in found for run_id in page) == sorted(ids)
    assert len(found) > 1 or most == 1_000
    if "columns" in more:
        assert len(found) > 1, "the budget did cut"


@pytest.mark.parametrize("tool", ["search_experiments", "search_models"])
async def test_pages_of_experiments_and_models_hold_every_one_once(mock_engine: Engine, tool: str):
    """Long descriptions cut the answers, and the pages go on with the first one that was left out."""
    names = [f"place-{i:03}" for i in range(230)]
    async with connect(mock_engine) as agent:
        if tool == "search_experiments":
            for one in names:
                await agent.ask("create_experiment", name=one, description="x" * 190, tags={"note": "a, reviewed=yes"})
        else:
            await agent.ask("search_models")
            for one in names:
                await mock_engine.registry._api.create_registered_model(one, "x" * 190)  # pyright: ignore[reportPrivateUsage]
        cut = await pages(agent, tool, "name", name_contains="place", max_results=1_000)
        small = await pages(agent, tool, "name", name_contains="place", max_results=60)
    for found in (cut, small):
        assert len(found) > 1
        assert sorted(one for page in found for one in page) == names


async def test_two_tags_are_told_from_one_in_a_table(mock_engine: Engine):
    """A tag whose value looks like a further tag is quoted."""
    async with connect(mock_engine) as agent:
        await agent.ask("create_experiment", name="one", tags={"note": "a, reviewed=yes"})
        await agent.ask("create_experiment", name="two", tags={"note": "a", "reviewed": "yes"})
        rows = {row["name"]: row["tags"] for row in await agent.rows("search_experiments")}
    assert rows["one"] == 'note="a, reviewed=yes"'
    assert rows["two"] == "note=a, reviewed=yes"


async def test_without_an_experiment_the_default_is_searched_and_said(mock_engine: Engine):
    """An agent that takes one experiment for all of them concludes wrongly; `*` means all whatever is set."""
    engine = mock_engine
    async with connect(engine, closes=False) as agent:
        for experiment in ("churn", "vision"):
            await agent.ask("log_run", experiment=experiment, run_name=f"in-{experiment}", metrics={"acc": 0.5})
        everywhere = await agent.ask("search_runs")
    assert {row[1] for row in everywhere["rows"]} == {"in-churn", "in-vision"}
    assert "default" not in everywhere.get("hint", "")
    chosen = engine.settings.model_copy(update={"experiment_name": "churn"})
    defaulted = engine_over(engine.location, chosen, engine.transports[0], engine.transports[0])
    async with connect(defaulted) as agent:
        one = await agent.ask("search_runs")
        ranked = await agent.ask("rank_runs", metric="acc")
        named = await agent.ask("search_runs", experiments=["vision"])
        every = await agent.ask("search_runs", experiments="*")
        summary = await agent.ask("summarize_experiment")
    assert [row[1] for row in one["rows"]] == ["in-churn"]
    assert "Only the default experiment 'churn' was searched" in one["hint"]
    assert "Only the default experiment 'churn' was searched" in ranked["hint"]
    assert [row[1] for row in named["rows"]] == ["in-vision"]
    assert "default" not in named.get("hint", "")
    assert len(every["rows"]) == 2
    assert summary["experiment"] == "churn"


async def test_every_row_of_a_tracking_server_is_reached_once(engine: Engine, name: Name):
    """Paging of runs and of artifacts, a few rows a page: no row twice, none missing, on every kind of store."""
    place = name("paged")
    async with connect(engine) as agent:
        for number in range(11):
            files = {f"f{at:02}.txt": "x" for at in range(7)} if number == 0 else {}
            await agent.ask("log_run", experiment=place, run_name=f"r{number}", metrics={"a": number}, artifacts=files)
        for order in ([], ["metrics.a DESC"], ["duration"]):
            asked: dict[str, Any] = {"experiments": [place], "max_results": 3, "order_by": order}
            seen = [one for page in await pages(agent, "search_runs", "run_name", **asked) for one in page]
            assert sorted(seen) == sorted(f"r{number}" for number in range(11)), order
        (first,) = await agent.rows("search_runs", experiments=[place], filter_string="metrics.a = 0")
        found = await pages(agent, "list_artifacts", "path", run=first["run_id"], max_results=3)
    assert [path for page in found for path in page] == [f"f{at:02}.txt" for at in range(7)]
    assert len(found) == 3


async def test_runs_are_found_by_encoded_links_comparison_links_and_dashed_ids(mock_engine: Engine):
    """As browsers and other programs write them."""
    async with connect(mock_engine) as agent:
        one = (await agent.ask("log_run", experiment="links", run_name="one", metrics={"acc": 0.8}))["run_id"]
        two = (await agent.ask("log_run", experiment="links", run_name="two", metrics={"acc": 0.9}))["run_id"]
        dashed = "-".join((one[:8], one[8:12], one[12:16], one[16:20], one[20:]))
        encoded = quote(f"http://localhost:5000/#/experiments/1/runs/{one}", safe="")
        for reference in (dashed, dashed.upper(), encoded):
            assert (await agent.ask("get_run", run=reference))["run_id"] == one
        link = f"http://localhost:5000/#/compare-runs?runs=[%22{one}%22,%22{two}%22]&experiments=[%221%22]"
        compared = await agent.ask("compare_runs", runs=[link])
        assert [row[0] for row in compared["runs"]["rows"]] == [one, two]


async def test_children_of_a_purged_parent_are_found_by_its_id(mock_engine: Engine):
    """The parent is gone; the tag of its children still has its id."""
    gone = "0" * 32
    async with connect(mock_engine) as agent:
        child = await agent.ask("log_run", experiment="orphans", run_name="child")
        await mock_engine.api.log_batch(child["run_id"], [], [], [{"key": tag_names.PARENT_RUN, "value": gone}])
        found = await agent.ask("search_runs", filter_string=f"parent = '{gone}'")
        assert [row[0] for row in found["rows"]] == [child["run_id"]]


async def test_runs_are_found_by_the_beginning_of_a_commit_and_by_their_notes(mock_engine: Engine):
    """Git shows seven digits, MLflow keeps forty."""
    async with connect(mock_engine) as agent:
        for name, commit in (("old", "a1b2c3d4" * 5), ("new", "ffeeddcc" * 5)):
            tags = {tag_names.GIT_COMMIT: commit}
            await agent.ask("log_run", experiment="commits", run_name=name, tags=tags, description=f"the {name} way")
        for clause, names in (
            ("git_commit = 'A1B2C3D'", ["old"]),
            ("git_commit != 'a1b2c3d'", ["new"]),
            ("description LIKE '%new%'", ["new"]),
        ):
            found = await agent.rows("search_runs", experiments=["commits"], filter_string=clause)
            assert [row["run_name"] for row in found] == names, clause
