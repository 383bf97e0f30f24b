"""A training run for people: figures, pictures, tables and the model card, beside the model in MLflow."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric

from covertype import artifact, contract, evaluate
from covertype.prepare import split
from covertype.settings import Settings

log = logging.getLogger(__name__)

CARD = "model_card.md"
FOLDER = "report"


@dataclass(frozen=True)
class Findings:
    """What an evaluation has found, ready to be drawn and told.

    Figures carry the names of `evaluate.score`; `before` is the champion's score on the batch that had just
    come, if there was one.
    """

    run_name: str
    model: str
    facts: Mapping[str, str]
    figures: Mapping[str, float]
    baseline: Mapping[str, float]
    before: Mapping[str, float]
    classes: pd.DataFrame
    batches: Mapping[int, Mapping[str, float]]
    confusion: npt.NDArray[np.int64]
    calibration: pd.DataFrame
    importance: pd.Series


def publish(settings: Settings, observations: pd.DataFrame, run_id: str) -> None:
    """Score the model of a run on the test rows and log all of it to the run. Repeating it writes the same.

    Raises artifact.ArtifactError or evaluate.BrokenModel for a model that cannot be used.
    """
    mlflow.set_tracking_uri(settings.tracking_uri)
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    run = client.get_run(run_id)
    trains, tests = split(observations)
    pipeline = artifact.load_pipeline(f"models:/{artifact.model_id(run)}").pipeline
    answers = evaluate.ask(pipeline, tests)
    before = {name: value for name, value in run.data.metrics.items() if name.startswith("before_")}
    findings = Findings(
        run_name=run.info.run_name or run_id,
        model=type(pipeline["model"]).__name__,
        facts={
            name: value
            for name, value in sorted((run.data.params | run.data.tags).items())
            if not name.startswith("mlflow.")
        },
        figures=evaluate.score(answers),
        baseline=evaluate.score(evaluate.baseline(trains, tests)),
        before=evaluate.renamed(before, "test", "before"),
        classes=evaluate.per_class(answers),
        batches=evaluate.per_batch(answers, tests["batch"].to_numpy()),
        confusion=evaluate.confusion(answers),
        calibration=evaluate.calibration(answers),
        importance=evaluate.importance(pipeline, tests, settings.importance_rows, settings.seed),
    )
    with tempfile.TemporaryDirectory(prefix="covertype-report-") as folder:
        write(Path(folder), findings)
        client.log_artifacts(run_id, folder, FOLDER)
    # Last: a run with these figures is an evaluated one.
    client.log_batch(run_id, metrics=_metrics(findings))
    log.info("%s", findings.figures)


def _metrics(findings: Findings) -> list[Metric]:
    """The figures as MLflow keeps them: those of a batch at the step of its number."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    single = (
        dict(findings.figures)
        | evaluate.renamed(findings.baseline, "baseline")
        | {"calibration_error": evaluate.calibration_error(findings.calibration)}
        | {
            f"class_{line['class']}_{name}": line[name]
            for line in findings.classes.to_dict("records")
            for name in ("precision", "recall", "f1")
        }
    )
    return [Metric(name, value, now, 0) for name, value in single.items()] + [
        Metric(name, value, now, number)
        for number, figures in findings.batches.items()
        for name, value in evaluate.renamed(figures, "batch").items()
    ]


def write(folder: Path, findings: Findings) -> None:
    """Write every file of the report into a folder that is there."""
    findings.classes.to_csv(folder / "per_class.csv", index=False)
    per_batch = pd.DataFrame.from_dict(findings.batches, orient="index").rename_axis("batch")
    per_batch.to_csv(folder / "per_batch.csv")
    labels = list(contract.CLASSES.values())
    confusion = pd.DataFrame(findings.confusion, index=pd.Index(labels, name="true"), columns=labels)
    confusion.to_csv(folder / "confusion_matrix.csv")
    findings.importance.rename("loss_of_macro_f1").rename_axis("feature").to_csv(folder / "importance.csv")
    for name, draw in {
        "confusion_matrix": _confusion,
        "per_class": _per_class,
        "per_batch": _per_batch,
        "calibration": _calibration,
        "importance": _importance,
    }.items():
        # Figures of their own, without pyplot: it would keep each of them for the life of the process.
        figure = Figure(figsize=(7.2, 5), layout="constrained")
        draw(figure, findings)
        FigureCanvasAgg(figure).print_png(str(folder / f"{name}.png"))
    (folder / CARD).write_text(card(findings), encoding="utf-8")


def card(findings: Findings) -> str:
    """The model card in Markdown."""
    return "\n".join(
        [
            f"# Forest cover: {findings.model}",
            "",
            f"Made by the run `{findings.run_name}`. It tells the cover type of a cell of 30 m x 30 m of",
            "Roosevelt National Forest from 12 cartographic features. Made for teaching and for trying out",
            "the platform; not for decisions about land, nor for other forests.",
            "",
            "## How good it is",
            "",
            "On the rows that their hash sets apart for ever (one in five); no model of this project learns",
            "from them.",
            "",
            *_lines(
                ["measure", "this model", "always the commonest class"],
                [
                    [name, f"{value:.4f}", f"{findings.baseline[name]:.4f}"]
                    for name, value in findings.figures.items()
                ],
            ),
            "",
            "![Confusion matrix](confusion_matrix.png) ![Calibration](calibration.png)",
            "",
            "## By class",
            "",
            *_lines(
                ["class", "name", "precision", "recall", "F1", "test rows"],
                [
                    [
                        str(line["class"]),
                        line["label"],
                        *(f"{line[name]:.3f}" for name in ("precision", "recall", "f1")),
                        str(line["rows"]),
                    ]
                    for line in findings.classes.to_dict("records")
                ],
            ),
            "",
            "## By batch",
            "",
            "Batches come from different parts of the forest.",
            "",
            *_lines(
                ["batch", "accuracy", "macro-F1"],
                [
                    [str(number), f"{figures['test_accuracy']:.4f}", f"{figures['test_f1']:.4f}"]
                    for number, figures in findings.batches.items()
                ],
            ),
            "",
            _what_users_got(findings.before),
            "",
            "## What counts",
            "",
            "Loss of macro-F1 when the feature is shuffled:",
            "",
            *_lines(
                ["feature", "loss"],
                [[str(name), f"{value:.3f}"] for name, value in findings.importance.items()],
            ),
            "",
            "## How it was made",
            "",
            *_lines(["fact", "value"], [[name, value] for name, value in findings.facts.items()]),
            "",
            "## Limits",
            "",
            "- Cells lie side by side in the data: neighbours of test rows were learnt from. The figures",
            "  hold for cells of the terrain gathered so far, not for terrain never visited.",
            "- Values outside the contract's ranges and unknown categories are refused, not guessed.",
            "- Data: Covertype, (c) Jock A. Blackard and Colorado State University, DOI 10.24432/C50K5N.",
            "",
        ]
    )


def _what_users_got(before: Mapping[str, float]) -> str:
    if not before:
        return "Before this run no model in Production could be asked about a batch that was new to it."
    accuracy, f1 = before["test_accuracy"], before["test_f1"]
    return (
        "Before this run the model in Production was asked about the batch that had just come, all of it new "
        f"to it: accuracy {accuracy:.4f}, macro-F1 {f1:.4f}. That is what its users got."
    )


def _lines(head: list[str], body: list[list[Any]]) -> list[str]:
    cells = [head, ["---"] * len(head), *body]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in cells]


def _confusion(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    labels = list(contract.CLASSES.values())
    totals = findings.confusion.sum(axis=1, keepdims=True)
    shares = np.divide(findings.confusion, totals, out=np.zeros(totals.shape[:1] * 2), where=totals > 0)
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    for true, said in np.ndindex(*shares.shape):
        axes.text(
            said,
            true,
            str(findings.confusion[true, said]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[true, said] > 0.5 else "black",  # noqa: PLR2004 - half of the colour scale
        )
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title="Test rows by true and predicted class")


def _per_class(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    positions = np.arange(len(findings.classes))
    for offset, name in zip((-0.27, 0, 0.27), ("precision", "recall", "f1"), strict=True):
        axes.bar(positions + offset, findings.classes[name], width=0.26, label=name)
    ticks = [f"{line.label}\n{line.rows}" for line in findings.classes.itertuples()]
    axes.set_xticks(positions, ticks, rotation=20, ha="right")
    axes.set(ylim=(0, 1), title="By class, with the number of test rows")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right")


def _per_batch(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    for name, label in (("test_accuracy", "accuracy"), ("test_f1", "macro-F1")):
        axes.plot(
            list(findings.batches), [one[name] for one in findings.batches.values()], marker="o", label=label
        )
    axes.set_xticks(list(findings.batches))
    axes.set(ylim=(0, 1), xlabel="batch", title="Test rows of each batch")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _calibration(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    table = findings.calibration
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as sure as right")
    axes.plot(table["confidence"], table["accuracy"], marker="o", label="this model")
    for line in table.itertuples():
        axes.annotate(
            str(line.rows), (line.confidence, line.accuracy), (4, -10), textcoords="offset points", fontsize=8
        )
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="highest probability",
        ylabel="share of right answers",
        title="How sure it is, how often it is right, and on how many rows",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")


def _importance(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    ordered = findings.importance[::-1]
    axes.barh([str(name).replace("_", " ") for name in ordered.index], ordered)
    axes.set(xlabel="loss of macro-F1", title="What counts: loss when a feature is shuffled")
    axes.grid(axis="x", alpha=0.3)
