import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from covertype import __main__ as command
from covertype import artifact, contract, registry, steps, tables
from covertype.settings import Settings
from covertype.version import ModelVersion


@pytest.fixture
def fresh(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The settings of the session with a registered model of the test's own."""
    return settings.model_copy(update={"model_name": request.node.name})


@pytest.fixture
def three(fresh: Settings, run_id: str) -> list[int]:
    """Three versions: the registered run, and two more of the same model."""
    first = registry.register(fresh, run_id)
    client = mlflow.MlflowClient(fresh.tracking_uri)
    source = client.get_model_version(fresh.model_name, "1").source
    others = [client.create_model_version(fresh.model_name, source, run_id) for _ in range(2)]
    return [first.version, *(int(other.version) for other in others)]


def test_a_run_is_registered_once_with_its_metrics(fresh: Settings, run_id: str) -> None:
    first = registry.register(fresh, run_id)
    assert (first.version, first.run_id, first.stage) == (1, run_id, "None")
    assert registry.register(fresh, run_id) == first
    logged = mlflow.MlflowClient(fresh.tracking_uri).get_run(run_id).data.metrics
    assert first.metrics == {name: value for name, value in logged.items() if name.startswith("test_")}
    assert {"test_accuracy", "test_precision", "test_recall", "test_f1"} <= first.metrics.keys()


def test_a_run_without_figures_or_without_a_model_is_refused(fresh: Settings) -> None:
    mlflow.set_tracking_uri(fresh.tracking_uri)
    mlflow.set_experiment(fresh.experiment)
    with mlflow.start_run() as run:
        pass
    with pytest.raises(registry.RegistryError, match="clear the task `evaluate`"):
        registry.register(fresh, run.info.run_id)
    mlflow.MlflowClient(fresh.tracking_uri).log_metric(run.info.run_id, "test_f1", 0.9)
    with pytest.raises(artifact.ArtifactError, match="0 models"):
        registry.register(fresh, run.info.run_id)


def test_before_the_first_version(fresh: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise MlflowException("Permission denied", error_code=PERMISSION_DENIED)

    # As MLflow answers behind its login when a model is not there.
    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", forbid)
    monkeypatch.setattr(mlflow.MlflowClient, "get_registered_model", forbid)
    assert registry.champion(fresh) is None
    assert registry.list_versions(fresh) == []
    with pytest.raises(registry.RegistryError, match="no version in Production"):
        registry.before_champion(fresh)


def test_a_registered_version_is_not_in_production_by_itself(fresh: Settings, run_id: str) -> None:
    registry.register(fresh, run_id)
    assert registry.champion(fresh) is None


def state(settings: Settings) -> dict[int, tuple[str, tuple[str, ...]]]:
    return {found.version: (found.stage, found.aliases) for found in registry.list_versions(settings)}


def test_stage_and_alias_move_together(fresh: Settings, three: list[int]) -> None:
    registry.set_production(fresh, 1)
    assert state(fresh) == {1: ("Production", ("champion",)), 2: ("None", ()), 3: ("None", ())}
    registry.set_production(fresh, 3)
    registry.set_production(fresh, 3)
    assert state(fresh) == {
        1: ("Archived", ("previous",)),
        2: ("None", ()),
        3: ("Production", ("champion",)),
    }
    assert list(state(fresh)) == [3, 2, 1]


def test_a_move_that_was_cut_short_is_completed(
    fresh: Settings, three: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_production(fresh, 1)
    with monkeypatch.context() as cut:
        cut.setattr(
            mlflow.MlflowClient,
            "set_registered_model_alias",
            lambda *_: (_ for _ in ()).throw(OSError("cut")),
        )
        with pytest.raises(OSError, match="cut"):
            registry.set_production(fresh, 2)
    champion = registry.champion(fresh)
    assert champion is not None
    assert champion.version == 1
    registry.set_production(fresh, 2)
    assert state(fresh)[2] == ("Production", ("champion",))
    assert registry.before_champion(fresh)[0].version == 1


def go_back(settings: Settings) -> tuple[ModelVersion, ModelVersion]:
    previous, current = registry.before_champion(settings)
    return registry.put_back(settings, previous.version, current.version), current


def test_rollback_goes_back_step_by_step(fresh: Settings, three: list[int]) -> None:
    for version in three:
        registry.set_production(fresh, version)
    now, before = go_back(fresh)
    assert (now.version, now.stage, now.aliases, before.version) == (2, "Production", ("champion",), 3)
    assert state(fresh)[1] == ("Archived", ("previous",))
    assert state(fresh)[3] == ("Archived", ())
    assert registry.ROLLED_BACK_TAG in registry.get(fresh, 3).tags
    assert go_back(fresh)[0].version == 1
    with pytest.raises(registry.RegistryError, match="version 1 is the first"):
        registry.before_champion(fresh)
    assert state(fresh)[1] == ("Production", ("champion",))


def test_a_challenger_is_one_until_it_is_in_production(fresh: Settings, three: list[int]) -> None:
    registry.set_production(fresh, 1)
    registry.set_challenger(fresh, 2)
    registry.set_challenger(fresh, 3)
    assert state(fresh)[2] == ("None", ())
    assert state(fresh)[3] == ("None", ("challenger",))
    assert registry.set_production(fresh, 3).aliases == ("champion",)


def test_a_loaded_version_predicts(fresh: Settings, run_id: str) -> None:
    loaded = registry.load(fresh, registry.register(fresh, run_id))
    frame = contract.features_frame([contract.EXAMPLE])
    probabilities = pd.Series(
        loaded.artifact.pipeline.predict_proba(frame)[0], index=loaded.artifact.pipeline.classes_
    )
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.idxmax() == loaded.artifact.pipeline.predict(frame)[0]
    assert set(probabilities.index) <= set(contract.CLASSES)


@pytest.fixture
def bucket(settings: Settings, run_id: str) -> Iterator[Path]:
    """The model's files where MLflow keeps them, for a test to change."""
    run = mlflow.MlflowClient(settings.tracking_uri).get_run(run_id)
    location = mlflow.get_logged_model(artifact.model_id(run)).artifact_location
    folder = Path(location.removeprefix("file://"))
    whole = folder.with_name("whole")
    shutil.copytree(folder, whole)
    yield folder
    shutil.rmtree(folder)
    whole.rename(folder)


@pytest.mark.parametrize("change", ["a description that says more", "another file", "a file less"])
def test_files_that_were_changed_after_the_registration_are_refused(
    fresh: Settings, run_id: str, bucket: Path, tmp_path: Path, change: str
) -> None:
    version = registry.register(fresh, run_id)
    assert version.checksum == artifact.checksum(bucket)
    registry.load(fresh, version)
    match change:
        case "a description that says more":
            with (bucket / "MLmodel").open("a") as description:
                description.write("# harmless\n")
        case "another file":
            (bucket / "code" / "more.py").write_text("")
        case _:
            (bucket / "conda.yaml").unlink()
    for use in (lambda: registry.load(fresh, version), lambda: registry.fetch(fresh, version, str(tmp_path))):
        with pytest.raises(artifact.ArtifactError, match="version 1 is not what was registered"):
            use()


def test_a_version_from_before_checksums_is_loaded_with_a_warning(
    fresh: Settings, three: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    registry.load(fresh, registry.get(fresh, 1))
    assert caplog.messages == []
    registry.load(fresh, registry.get(fresh, 2))
    assert caplog.messages == [
        "Version 2 was registered without a checksum: its files are taken as they are."
    ]


class Unasked:
    """Stands for a connection that nothing is asked of."""

    def close(self) -> None: ...


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = '[{"host": "db", "login": "admin", "password": "secret", "schema": "datadb", "port": null}]'
    monkeypatch.setattr("sys.stdin", io.StringIO(shown))

    def connect(*arguments: object) -> Unasked:
        assert arguments == ("db", "admin", "secret", "datadb", 3306)
        return Unasked()

    monkeypatch.setattr(tables, "connect", connect)


def raising(error: Exception) -> Any:
    def step(*_: object) -> None:
        raise error

    return step


@pytest.mark.parametrize(
    ("typed", "step", "arguments"), [(["rollback"], "rollback", []), (["approve", "7"], "approve", [7])]
)
@pytest.mark.usefixtures("connection")
def test_commands_say_what_was_done(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    step: str,
    arguments: list,
) -> None:
    done = tables.Promotion(1, "a", {}, 2, {}, True, "version 1 is Production again", "rolled back", "x")

    def carry_out(_connection: object, _settings: Settings, *given: object) -> tables.Promotion:
        assert list(given[:-1]) == arguments
        assert str(given[-1]).startswith("command 2")
        return done

    monkeypatch.setattr(steps, step, carry_out)
    assert command.main(typed) == 0
    assert "version 1 is Production again" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [registry.RegistryError("nothing before it"), tables.LockTimeout("held"), steps.NotWaiting("refused")],
)
@pytest.mark.usefixtures("connection")
def test_commands_say_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    monkeypatch.setattr(steps, "rollback", raising(error))
    assert command.main(["rollback"]) == 1
    assert str(error) in capsys.readouterr().err


def test_a_command_without_a_connection_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Connection not found."))
    assert command.main(["rollback"]) == 1
    assert "not a connection in JSON" in capsys.readouterr().err


def test_a_registry_that_is_down_is_an_error_not_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = Settings(tracking_uri="http://127.0.0.1:9")
    with pytest.raises(mlflow.exceptions.MlflowException, match="Connection refused"):
        registry.champion(nowhere)
