"""The calls that tell how the stack is doing, and what its pipeline has gathered, judged and decided."""

import logging
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from covertype import contract
from covertype.questions import Distribution
from covertype.tables import Promotion
from covertype.version import ModelVersion
from model_api import schemas
from model_api.archive import Archive
from model_api.asking import Away
from model_api.registry import Registry
from model_api.reports import Report, Reports
from model_api.state import Desks, State, StateTeller

log = logging.getLogger(__name__)

Column = Literal[*contract.COLUMNS]  # type: ignore[valid-type] # written once, in the contract

_DATABASE: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Detail, "description": "The database does not answer, or there is none"}
}
_EVALUATION: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Detail, "description": "No version of that number"},
    503: {"model": schemas.Detail, "description": "MLflow does not answer"},
}


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class LedgerLine(_Shown):
    """A line of the ledger: what one request to the source brought."""

    id: int
    group: int = Field(description="Under which the source was asked")
    batch: int = Field(description="The source's number of the batch")
    dag_run_id: str
    received_at: datetime
    rows_received: int
    rows_new: int = Field(description="Rows that no request before it had brought")
    rows_quarantined: int = Field(description="Rows that break the contract")
    refused: bool = Field(description="Too many of them: no row was stored")


class BatchCounts(BaseModel):
    """How many rows of a batch lie in each bin."""

    batch: int = Field(description="The source's number of the batch")
    rows: int
    counts: list[int] = Field(description="In the order of the bins")


class ColumnDistribution(BaseModel):
    """How the values of a column are spread, batch by batch; a row is of the batch that brought it first."""

    column: str
    kind: Literal["number", "category"]
    bins: list[str] = Field(description="Labels: ranges of whole numbers, or categories, or names of classes")
    batches: list[BatchCounts]

    @classmethod
    def of(cls, counted: Distribution) -> "ColumnDistribution":
        """Describe what was counted."""
        return cls(
            column=counted.column,
            kind=counted.kind,
            bins=list(counted.bins),
            batches=[
                BatchCounts(batch=batch, rows=sum(counts), counts=list(counts))
                for batch, counts in counted.counts.items()
            ],
        )


class QuarantinedRow(_Shown):
    """A row that was set aside."""

    batch_id: int = Field(description="The line of the ledger")
    group: int
    batch: int
    position: int = Field(description="In the payload; the first is 0")
    received_at: datetime
    received: str = Field(description="The row as it came, cut short")
    reasons: str = Field(description="Every rule that it breaks, separated by semicolons")


class Quarantine(BaseModel):
    """Rows that broke the contract: how many there are, and the newest."""

    total: int
    rows: list[QuarantinedRow]


class Decision(BaseModel):
    """A candidate, the champion that it met, and how it ended."""

    candidate: int
    champion: int | None = Field(description="null: there was none")
    candidate_metrics: dict[str, float]
    champion_metrics: dict[str, float] | None
    promoted: bool
    decision: str = Field(description="promoted, refused, waiting, off, approved or rolled back")
    reason: str
    request: str = Field(description="Who asked: a run of the DAG, or a command")
    at: datetime

    @classmethod
    def of(cls, at: datetime, promotion: Promotion) -> "Decision":
        """Describe a line of `promotions`."""
        return cls(
            candidate=promotion.candidate,
            champion=promotion.champion,
            candidate_metrics=dict(promotion.candidate_metrics),
            champion_metrics=None if promotion.champion_metrics is None else dict(promotion.champion_metrics),
            promoted=promotion.promoted,
            decision=promotion.decision,
            reason=promotion.reason,
            request=promotion.request,
            at=at,
        )


class BatchQuality(_Shown):
    """How good the version is on the test rows of a batch."""

    batch: int
    accuracy: float
    f1: float


class ClassQuality(_Shown):
    """How good the version is on the test rows of a class."""

    code: int = Field(serialization_alias="class", description="Cover_Type")
    label: str
    precision: float
    recall: float
    f1: float
    rows: int


class Confusion(BaseModel):
    """Test rows by true class (lines) and predicted class (columns)."""

    labels: list[str]
    counts: list[list[int]]


class Evaluation(BaseModel):
    """What was measured of a version on the test rows of its own run."""

    version: str
    run_id: str
    metrics: dict[str, float]
    per_batch: list[BatchQuality] = Field(description="Empty for runs of earlier versions of this project")
    classes: list[ClassQuality] = Field(description="Empty for runs of earlier versions of this project")
    confusion: Confusion | None = Field(description="null for runs of earlier versions of this project")

    @classmethod
    def of(cls, version: ModelVersion, report: Report) -> "Evaluation":
        """Describe a version by its run's report."""
        labels = list(contract.CLASSES.values())
        return cls(
            version=str(version.version),
            run_id=version.run_id,
            metrics=dict(version.metrics),
            per_batch=[BatchQuality.model_validate(one) for one in report.per_batch],
            classes=[ClassQuality.model_validate(one) for one in report.classes],
            confusion=None
            if report.confusion is None
            else Confusion(labels=labels, counts=[list(line) for line in report.confusion]),
        )


def add_pipeline(
    app: FastAPI,
    archive: Archive,
    reports: Reports,
    registry: Registry,
    *,
    teller: StateTeller,
    desks: Desks,
) -> None:
    """Add the calls; each is answered in time or with 503, and none holds up a prediction."""

    @app.get("/state", tags=["state"])
    async def state() -> State:
        """Tell how services, model, predictions and the last runs are; what cannot be known is null."""
        return await teller.tell()

    @app.get("/batches", tags=["pipeline"], responses=_DATABASE)
    async def batches() -> list[LedgerLine]:
        """Give the newest 1,000 lines of the ledger, the newest first."""
        return [LedgerLine.model_validate(line) for line in await desks.database.ask(archive.ledger)]

    @app.get("/batches/distribution", tags=["pipeline"], responses=_DATABASE)
    async def distribution(
        column: Annotated[Column, Query(description="A feature, or Cover_Type")],
    ) -> ColumnDistribution:
        """Give the distribution of a column in each batch: 20 bins over its range, or its categories."""
        return ColumnDistribution.of(await desks.counting.ask(partial(archive.distribution, column)))

    @app.get("/quarantine", tags=["pipeline"], responses=_DATABASE)
    async def quarantine(
        limit: Annotated[int, Query(ge=1, le=1_000, description="Most rows to give")] = 100,
    ) -> Quarantine:
        """Give the rows that were set aside, those of the newest request first."""
        total, rows = await desks.database.ask(partial(archive.quarantine, limit))
        return Quarantine(total=total, rows=[QuarantinedRow.model_validate(row) for row in rows])

    @app.get("/promotions", tags=["pipeline"], responses=_DATABASE)
    async def promotions(
        limit: Annotated[int, Query(ge=1, le=1_000, description="Most decisions to give")] = 200,
    ) -> list[Decision]:
        """Give the decisions about candidates, the newest first."""
        return [Decision.of(*line) for line in await desks.database.ask(partial(archive.promotions, limit))]

    @app.get("/models/{version}/evaluation", tags=["pipeline"], responses=_EVALUATION)
    async def evaluation(
        version: Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a registered version")],
    ) -> Evaluation:
        """Give what was measured of a version: by batch, by class, and its confusion matrix."""
        found = await desks.mlflow.ask(partial(_evaluation, registry, reports, version))
        if found is None:
            raise HTTPException(404, f"There is no version {version}")
        return found


def _evaluation(registry: Registry, reports: Reports, number: int) -> Evaluation | None:
    try:
        version = registry.get(number)
    except Exception as error:
        # As of /models: to the caller, what a registry's client raises is one thing.
        log.warning("The model registry does not answer", exc_info=error)
        raise Away("the model registry does not answer") from error
    return None if version is None else Evaluation.of(version, reports.report(version.run_id))
