"""What a training script may rely on, beyond what the guides show."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcp_server.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnreachableError, UnsupportedError
from mcp_server.mlflow_integration import get_mlflow_tracker, load_model_from_registry
from tests.conftest import free_port

everywhere = pytest.mark.parametrize("store", ["mock", "sqlite", "server"], indirect=True)
once = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@everywhere
def test_everything_that_is_logged_is_there_afterwards(name):
    tracker = get_mlflow_tracker(name("everything"))
    Path("folder").mkdir()
    Path("folder/notes.txt").write_text("notes")
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots(figsize=(1, 1))
    with tracker.start_run("all", tags={"a": 1}, description="what it is for") as run_id:
        assert tracker.run_id == run_id
        tracker.log_param("lr", 0.1)
        tracker.log_params({f"p{number}": number for number in range(150)})
        tracker.log_metric("loss", 0.5, step=1, timestamp=1_000)
        tracker.log_metrics({"loss": 0.25, "accuracy": 0.9}, step=2)
        tracker.set_tag("b", True)
        tracker.set_tags({"c": None, "d": 3})
        tracker.log_artifact("folder/notes.txt", "texts")
        tracker.log_artifacts("folder")
        tracker.log_dict({"classes": ["a", "b"]}, "data/classes.json")
        tracker.log_text("hello", "hello.txt")
        tracker.log_figure(figure, "plots/empty.png")
    plt.close(figure)

    run = tracker.get_run(run_id)
    assert len(run["params"]) == 151
    assert run["metrics"] == {"loss": 0.25, "accuracy": 0.9}
    assert run["tags"].items() >= {"a": "1", "b": "True", "c": "None", "d": "3"}.items()
    assert run["tags"]["mlflow.note.content"] == "what it is for"
    assert run["end_time"] >= run["start_time"]
    assert tracker.get_metric_history(run_id, "loss")[0] == {"step": 1, "value": 0.5, "timestamp": 1_000}
    assert sorted(_files(tracker.client, run_id)) == [
        "data/classes.json",
        "hello.txt",
        "notes.txt",
        "plots/empty.png",
        "texts/notes.txt",
    ]
    assert Path(tracker.client.download_artifacts(run_id, "hello.txt")).read_text() == "hello"


@everywhere
def test_a_run_whose_block_raises_ends_failed_and_the_exception_goes_on(name):
    tracker = get_mlflow_tracker(name("failing"))

    with pytest.raises(ZeroDivisionError), tracker.start_run("broken") as run_id:
        tracker.log_metric("loss", 1.0)
        1 / 0  # noqa: B018

    run = tracker.get_run(run_id)
    assert run["status"] == "FAILED"
    assert run["metrics"] == {"loss": 1.0}
    assert tracker.run_id is None


@once
def test_a_failure_to_tell_mlflow_does_not_hide_what_failed(monkeypatch, caplog):
    tracker = get_mlflow_tracker("failing")

    with pytest.raises(ZeroDivisionError), tracker.start_run():
        monkeypatch.setattr(tracker.client, "set_terminated", _unplugged)
        1 / 0  # noqa: B018

    assert "could not be ended" in caplog.text


@everywhere
def test_a_run_started_inside_another_is_its_child(name):
    tracker = get_mlflow_tracker(name("nested"))

    with tracker.start_run("parent") as parent:
        with tracker.start_run("child", nested=True) as child, tracker.start_run("grandchild") as grandchild:
            tracker.log_metric("depth", 2)
        tracker.log_metric("depth", 0)

    assert tracker.get_run(child)["tags"]["mlflow.parentRunId"] == parent
    assert tracker.get_run(grandchild)["tags"]["mlflow.parentRunId"] == child
    assert "mlflow.parentRunId" not in tracker.get_run(parent)["tags"]
    assert [tracker.get_run(run_id)["metrics"] for run_id in (grandchild, child, parent)] == [
        {"depth": 2},
        {},
        {"depth": 0},
    ]


@everywhere
def test_a_run_is_resumed_by_its_id(name):
    tracker = get_mlflow_tracker(name("resumed"))
    with tracker.start_run("first") as run_id:
        tracker.log_metric("loss", 1.0, step=0)

    with tracker.start_run(run_id=run_id, tags={"resumed": "yes"}) as again:
        assert tracker.get_run(run_id)["status"] == "RUNNING"
        tracker.log_metric("loss", 0.5, step=1)

    assert again == run_id
    run = tracker.get_run(run_id)
    assert (run["run_name"], run["status"], run["tags"]["resumed"]) == ("first", "FINISHED", "yes")
    assert [point["value"] for point in tracker.get_metric_history(run_id, "loss")] == [1.0, 0.5]


@once
def test_a_deleted_run_is_not_resumed():
    tracker = get_mlflow_tracker()
    with tracker.start_run() as run_id:
        pass
    tracker.client.delete_run(run_id)

    with pytest.raises(InvalidInputError, match="restore_run"), tracker.start_run(run_id=run_id):
        pass


@once
def test_logging_outside_of_a_run_says_what_to_do():
    tracker = get_mlflow_tracker()

    with pytest.raises(InvalidInputError, match=r"with tracker\.start_run"):
        tracker.log_param("a", 1)


@once
def test_a_file_that_is_not_there_is_named_with_the_folder_it_was_looked_for_in():
    tracker = get_mlflow_tracker()

    with tracker.start_run():
        with pytest.raises(FileNotFoundError, match=f"missing.pkl to log; it is looked for in {Path.cwd()}"):
            tracker.log_artifact("missing.pkl")
        with pytest.raises(FileNotFoundError, match="no folder missing"):
            tracker.log_artifacts("missing")


@everywhere
def test_trackers_in_two_threads_do_not_mix(name):
    """MLflow's own active run is one per thread, but its experiment and store are one per process."""
    started = threading.Barrier(4)

    def train(number: int) -> tuple[str, str]:
        tracker = get_mlflow_tracker(name(f"thread-{number}"))
        with tracker.start_run() as run_id:
            started.wait(30)
            for step in range(10):
                tracker.log_metric("number", number, step=step)
            tracker.log_param("number", number)
        return tracker.experiment_id, run_id

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(train, range(4)))

    reader = get_mlflow_tracker(name("thread-0"))
    for number, (experiment_id, run_id) in enumerate(runs):
        run = reader.get_run(run_id)
        assert run["experiment_id"] == experiment_id
        assert run["params"] == {"number": str(number)}
        assert [point["value"] for point in reader.get_metric_history(run_id, "number")] == [number] * 10


@once
def test_one_tracker_in_two_threads_keeps_two_runs():
    tracker = get_mlflow_tracker()
    started = threading.Barrier(2)

    def train(number: int) -> str:
        with tracker.start_run() as run_id:
            started.wait(30)
            tracker.log_param("number", number)
        return run_id

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(train, range(2)))

    assert [tracker.get_run(run_id)["params"]["number"] for run_id in runs] == ["0", "1"]
    assert all("mlflow.parentRunId" not in tracker.get_run(run_id)["tags"] for run_id in runs)


@once
async def test_runs_of_asyncio_tasks_in_one_thread_do_not_mix():
    tracker = get_mlflow_tracker()
    first_is_open, second_is_open = asyncio.Event(), asyncio.Event()

    async def first() -> str:
        with tracker.start_run("first") as run_id:
            first_is_open.set()
            await second_is_open.wait()
            tracker.log_param("task", "first")
        return run_id

    async def second() -> str:
        await first_is_open.wait()
        with tracker.start_run("second") as run_id:
            second_is_open.set()
            await asyncio.sleep(0)
            tracker.log_param("task", "second")
        return run_id

    for run_id, task in zip(await asyncio.gather(first(), second()), ("first", "second"), strict=True):
        assert tracker.get_run(run_id)["params"] == {"task": task}


@once
def test_two_stores_in_two_threads_do_not_mix(iris: SimpleNamespace):
    """Models go through MLflow's process-wide URI: each has it in turn."""
    started = threading.Barrier(2)

    def train(uri: str) -> str:
        tracker = get_mlflow_tracker(tracking_uri=uri)
        with tracker.start_run() as run_id:
            started.wait(30)
            tracker.log_param("store", uri)
            tracker.log_model(iris.model, pip_requirements=["scikit-learn"])
            started.wait(30)
        tracker.register_model(f"runs:/{run_id}/model", "forest")
        return run_id

    uris = ("sqlite:///one.db", "sqlite:///two.db")
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(train, uris))

    for uri, run_id in zip(uris, runs, strict=True):
        tracker = get_mlflow_tracker(tracking_uri=uri)
        assert [run["run_id"] for run in tracker.search_runs()] == [run_id]
        assert [model.source_run_id for model in tracker.client.search_logged_models(["0"])] == [run_id]
        assert [version.run_id for version in tracker.client.search_model_versions("name='forest'")] == [run_id]


@once
def test_a_worker_thread_logs_to_a_run_by_its_id():
    tracker = get_mlflow_tracker()

    with tracker.start_run() as run_id, ThreadPoolExecutor(2) as pool:
        with pytest.raises(InvalidInputError, match="run_id="):
            pool.submit(tracker.log_metric, "loss", 1.0).result()
        list(pool.map(lambda step: tracker.log_metric("loss", step, step=step, run_id=run_id), range(10)))

    assert len(tracker.get_metric_history(run_id, "loss")) == 10


@everywhere
def test_autologging_goes_into_the_run_of_its_thread(iris: SimpleNamespace, name):
    import mlflow
    from sklearn.tree import DecisionTreeClassifier

    tracker = get_mlflow_tracker(name("autologged"))
    started, one_at_a_time = threading.Barrier(2), threading.Lock()

    def train(depth: int) -> str:
        with tracker.start_run() as run_id:
            started.wait(30)
            with one_at_a_time:  # MLflow 3.17 logs only one of two at the same moment.
                DecisionTreeClassifier(max_depth=depth).fit(iris.X_train, iris.y_train)
        return run_id

    mlflow.sklearn.autolog(log_models=False, log_datasets=False, log_post_training_metrics=False)
    try:
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(train, [1, 2]))
    finally:
        mlflow.sklearn.autolog(disable=True)

    assert [tracker.get_run(run_id)["params"]["max_depth"] for run_id in runs] == ["1", "2"]
    assert len(tracker.search_runs()) == 2


@once
def test_mlflow_is_left_as_it_was_found():
    import mlflow

    mlflow.set_tracking_uri("sqlite:///own.db")
    before = dict(os.environ), mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    tracker = get_mlflow_tracker(tracking_uri="sqlite:///other.db")

    with tracker.start_run() as run_id:
        assert mlflow.active_run().info.run_id == run_id
        mlflow.log_param("fluent", "too")

    assert (dict(os.environ), mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None
    assert tracker.get_run(run_id)["params"] == {"fluent": "too"}


@once
def test_what_a_script_says_to_mlflow_inside_a_run_stays():
    import mlflow

    with get_mlflow_tracker().start_run():
        mlflow.set_tracking_uri("sqlite:///own.db")

    assert mlflow.get_tracking_uri() == "sqlite:///own.db"


@once
def test_a_file_store_that_mlflow_was_told_to_allow_is_used(tmp_path):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    tracker = get_mlflow_tracker("old", tracking_uri="file:./mlruns")

    with tracker.start_run() as run_id:
        tracker.log_text("a", "a.txt")

    assert (tmp_path / "mlruns" / tracker.experiment_id / run_id / "artifacts" / "a.txt").exists()


@everywhere
def test_a_search_gives_as_many_runs_as_asked_for_and_a_frame_of_them(name):
    tracker = get_mlflow_tracker(name("searched"))
    for number in range(5):
        with tracker.start_run(f"run-{number}"):
            tracker.log_metric("accuracy", number / 10)
            tracker.log_param("number", number)

    best = tracker.search_runs("metrics.accuracy > 0.1", max_results=2, order_by=["metrics.accuracy DESC"])
    frame = tracker.search_runs(order_by=["metrics.accuracy ASC"], output_format="pandas")

    assert [run["run_name"] for run in best] == ["run-4", "run-3"]
    assert list(frame["metrics.accuracy"]) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert list(frame["params.number"]) == ["0", "1", "2", "3", "4"]
    assert set(frame["status"]) == {"FINISHED"}


@once
def test_a_comparison_hides_nothing():
    tracker = get_mlflow_tracker()
    runs = []
    for params, metrics in (
        ({"lr": 0.1, "seed": 7}, {"accuracy": 0.9, "loss": 0.3}),
        ({"lr": 0.2, "seed": 7, "dropout": 0.5}, {"accuracy": 0.8}),
        ({"lr": 0.1, "seed": 7}, {"accuracy": 0.7}),
    ):
        with tracker.start_run() as run_id:
            tracker.log_params(params)
            tracker.log_metrics(metrics)
        runs.append(run_id)

    comparison = tracker.compare_runs(runs)

    assert comparison["params"] == {
        "dropout": {"run_1": None, "run_2": "0.5", "run_3": None},
        "lr": {"run_1": "0.1", "run_2": "0.2", "run_3": "0.1"},
    }
    assert comparison["same_params"] == {"seed": "7"}
    assert comparison["metrics"] == {"accuracy": {"run_1": 0.9, "run_2": 0.8, "run_3": 0.7}}
    assert comparison["partial_metrics"] == {"loss": {"run_1": 0.3}}
    assert [comparison["runs"][f"run_{number}"]["run_id"] for number in (1, 2, 3)] == runs


@once
def test_a_time_in_nanoseconds_does_not_hide_the_run(store: str):
    import mlflow

    tracker = get_mlflow_tracker()
    run = mlflow.MlflowClient("sqlite:///mlflow.db").create_run("0", start_time=1_700_000_000_000_000_000)
    run_id = run.info.run_id

    assert tracker.get_run(run_id)["start_time"] is None


@once
def test_a_model_keeps_its_requirements_and_its_words(iris: SimpleNamespace):
    """The one test that has MLflow look for the requirements: it starts an interpreter, for 3 s."""
    tracker = get_mlflow_tracker()

    with tracker.start_run() as run_id:
        info = tracker.log_model(iris.model, artifact_path="models/forest")

    assert info.model_id
    root = Path(tracker.client.get_logged_model(info.model_id).artifact_location)
    assert "scikit-learn==" in (root / "requirements.txt").read_text()
    assert "serialization_format: skops" in (root / "MLmodel").read_text()
    with pytest.raises(NotFoundError, match=r"has no model 'forrest'.*Closest: models-forest"):
        tracker.register_model(f"runs:/{run_id}/forrest", "churn")
    assert tracker.client.search_registered_models() == []
    assert tracker.register_model(f"runs:/{run_id}/models/forest", "churn").run_id == run_id


@once
def test_anything_with_a_predict_is_a_model():
    tracker = get_mlflow_tracker()

    with tracker.start_run() as run_id:
        tracker.log_model(_Doubler(), pip_requirements=["cloudpickle"])
    tracker.register_model(f"runs:/{run_id}/model", "doubler")

    assert load_model_from_registry("doubler").predict([1, 2]) == [2, 4]


@once
def test_a_model_that_skops_cannot_write_is_pickled(iris: SimpleNamespace):
    """Such as a pipeline with a lambda, which MLflow 3 refuses unless it is told to."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    tracker = get_mlflow_tracker()
    model = make_pipeline(FunctionTransformer(lambda table: table), iris.model)

    with tracker.start_run():
        tracker.log_model(model, pip_requirements=["scikit-learn"], registered_model_name="with-lambda")

    assert list(load_model_from_registry("with-lambda").predict(iris.X_test)) == list(iris.y_pred)


@once
def test_what_is_no_model_is_refused():
    tracker = get_mlflow_tracker()

    with tracker.start_run():
        with pytest.raises(InvalidInputError, match="No MLflow flavor is known for a int"):
            tracker.log_model(3)
        with pytest.raises(InvalidInputError, match="not both"):
            tracker.log_model(_Doubler(), "a", artifact_path="b")


@once
def test_a_deleted_experiment_is_named_with_the_way_back():
    tracker = get_mlflow_tracker("gone")
    tracker.client.delete_experiment(tracker.experiment_id)

    with pytest.raises(AlreadyExistsError, match=rf"restore_experiment\('{tracker.experiment_id}'\)"):
        get_mlflow_tracker("gone")


@once
def test_a_server_that_is_not_there_is_said_at_once():
    """MLflow's own client takes 247 s."""
    with pytest.raises(UnreachableError, match=r"mlflow server.*mock_mode=True"):
        get_mlflow_tracker(tracking_uri=f"http://127.0.0.1:{free_port()}")


@once
@pytest.mark.parametrize(
    ("uri", "said"),
    [("file:./mlruns", "migrate-filestore"), ("./mlruns", "migrate-filestore"), ("mlflow.db", "sqlite:///mlflow.db")],
)
def test_an_address_that_mlflow_3_does_not_open_is_said_with_its_replacement(uri: str, said: str):
    with pytest.raises(UnsupportedError, match=said):
        get_mlflow_tracker(tracking_uri=uri)


@once
def test_credentials_in_the_env_file_count_for_mlflows_client_too():
    Path(".env").write_text("MLFLOW_TRACKING_USERNAME=ada\nMLFLOW_TRACKING_PASSWORD=secret\n")

    get_mlflow_tracker()

    from mlflow.utils.credentials import read_mlflow_creds

    assert read_mlflow_creds().username == "ada"
    assert read_mlflow_creds().password == "secret"


class _Doubler:
    def predict(self, numbers):
        return [2 * number for number in numbers]


def _unplugged(*_: object) -> None:
    raise ConnectionError("the network is gone")


def _files(client, run_id: str, path: str | None = None) -> list[str]:
    found = client.list_artifacts(run_id, path)
    return [name for file in found for name in (_files(client, run_id, file.path) if file.is_dir else [file.path])]
