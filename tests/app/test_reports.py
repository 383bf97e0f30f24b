"""Reports as MLflow's REST API and its artifact proxy give them."""

from collections.abc import Callable

import httpx
import pytest

from covertype import contract
from covertype.settings import Settings
from model_api import reports as module
from model_api.asking import Away
from model_api.reports import MlflowReports, Report

LABELS = list(contract.CLASSES.values())
FILES = {
    "per_batch.csv": "batch,test_accuracy,test_f1\n1,0.9,0.8\n2,0.7,0.6\n",
    "per_class.csv": "class,label,precision,recall,f1,rows\n0,Spruce/Fir,0.9,0.8,0.85,12\n",
    "confusion_matrix.csv": f"true,{','.join(LABELS)}\n"
    + "".join(
        f"{label},{','.join(str(7 * line + column) for column in range(7))}\n"
        for line, label in enumerate(LABELS)
    ),
}


class Mlflow:
    """MLflow as far as it is asked, answering from files; what is asked is written down."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.sizes: dict[str, int] = {}
        self.root = "mlflow-artifacts:/1/abc/artifacts"
        self.asked: list[str] = []
        self.down = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("refused")
        artifacts = "/api/2.0/mlflow-artifacts/artifacts"
        match request.url.path:
            case "/api/2.0/mlflow/runs/get":
                assert request.url.params["run_id"] == "abc"
                return httpx.Response(200, json={"run": {"info": {"artifact_uri": self.root}}})
            case "/api/2.0/mlflow-artifacts/artifacts":
                listed = [
                    {"path": name, "is_dir": False, "file_size": self.sizes.get(name, len(text))}
                    for name, text in self.files.items()
                ]
                known = request.url.params["path"] == "1/abc/artifacts/report" and listed
                return httpx.Response(200, json={"files": listed} if known else {})
            case path if path.startswith(f"{artifacts}/1/abc/artifacts/report/"):
                return httpx.Response(200, text=self.files[path.rpartition("/")[2]])
        return httpx.Response(404)


@pytest.fixture
def mlflow() -> Mlflow:
    return Mlflow()


@pytest.fixture
def reports(mlflow: Mlflow) -> MlflowReports:
    return MlflowReports(Settings(), httpx.MockTransport(mlflow))


def test_a_report_is_read_once(mlflow: Mlflow, reports: MlflowReports) -> None:
    report = reports.report("abc")
    assert [(one.batch, one.accuracy, one.f1) for one in report.per_batch] == [(1, 0.9, 0.8), (2, 0.7, 0.6)]
    assert [(one.code, one.label, one.rows) for one in report.classes] == [(0, "Spruce/Fir", 12)]
    assert report.confusion is not None
    assert report.confusion[6] == [42, 43, 44, 45, 46, 47, 48]
    asked = len(mlflow.asked)
    mlflow.down = True
    assert reports.report("abc") == report
    assert len(mlflow.asked) == asked


def test_what_an_older_run_lacks_is_empty_and_looked_for_again(
    mlflow: Mlflow, reports: MlflowReports
) -> None:
    matrix = mlflow.files.pop("confusion_matrix.csv")
    report = reports.report("abc")
    assert (len(report.per_batch), report.confusion) == (2, None)
    mlflow.files["confusion_matrix.csv"] = matrix
    assert reports.report("abc").confusion is not None


@pytest.mark.parametrize(
    "root", ["file:///tmp/abc", "s3://bucket/abc", "mlflow-artifacts:/1/other/artifacts"]
)
def test_a_run_without_a_report(mlflow: Mlflow, reports: MlflowReports, root: str) -> None:
    mlflow.root = root
    assert reports.report("abc") == Report([], [], None)


def too_large(mlflow: Mlflow) -> None:
    mlflow.files["per_batch.csv"] += "#" * 2_000_000


def larger_than_it_says(mlflow: Mlflow) -> None:
    too_large(mlflow)
    mlflow.sizes["per_batch.csv"] = 10


def with_text(text: str) -> Callable[[Mlflow], None]:
    def change(mlflow: Mlflow) -> None:
        mlflow.files["per_batch.csv"] = text

    return change


@pytest.mark.parametrize(
    "change",
    [
        too_large,
        larger_than_it_says,
        with_text("batch,test_accuracy\n1,0.9\n"),
        with_text("batch,test_accuracy,test_f1\n1,0.9,nan\n"),
        with_text("batch,test_accuracy,test_f1\n1,0.9,much\n"),
        with_text('batch,test_accuracy,test_f1\n1,0.9,"0.8\n'),
        with_text("batch,test_accuracy,test_f1\n1\n"),
    ],
)
def test_a_damaged_file_is_left_out_and_the_others_are_not(
    mlflow: Mlflow, reports: MlflowReports, change: Callable[[Mlflow], None]
) -> None:
    change(mlflow)
    report = reports.report("abc")
    assert report.per_batch == []
    assert len(report.classes) == 1


def test_few_reports_are_kept(
    mlflow: Mlflow, reports: MlflowReports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 0)
    reports.report("abc")
    asked = len(mlflow.asked)
    reports.report("abc")
    assert len(mlflow.asked) == 2 * asked


def test_an_mlflow_that_is_away_or_talks_nonsense_is_away(mlflow: Mlflow, reports: MlflowReports) -> None:
    mlflow.down = True
    for question in (reports.check, reports.check_store, lambda: reports.report("abc")):
        with pytest.raises(Away, match="does not answer"):
            question()
    nonsense = MlflowReports(Settings(), httpx.MockTransport(lambda _: httpx.Response(200, text="<html>")))
    with pytest.raises(Away):
        nonsense.report("abc")
    broken = MlflowReports(Settings(), httpx.MockTransport(lambda _: httpx.Response(500)))
    for question in (broken.check, broken.check_store):
        with pytest.raises(Away):
            question()
