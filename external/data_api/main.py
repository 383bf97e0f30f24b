"""The HTTP face of the data source."""

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Response
from pydantic import BaseModel

from data_api.dataset import BATCHES, COLUMNS, Dataset
from data_api.progress import AllBatchesServed, Progress
from data_api.settings import Settings

EXHAUSTED = "Ya se recolectó toda la información minima necesaria"

GroupNumber = Annotated[
    int, Query(ge=1, le=10, description="The group that collects; each has its own progress")
]


class Batch(BaseModel):
    """One answer: rows of 13 strings, the 12 features in their order and then `Cover_Type`."""

    group_number: int
    batch_number: int
    data: list[tuple[str, ...]]


class Detail(BaseModel):
    """Why there is no data."""

    detail: str


def create_app(settings: Settings | None = None, clock: Callable[[], float] = time.time) -> FastAPI:
    """Build the application; reads the data at once, so that a process that answers has it."""
    settings = settings or Settings()
    dataset = Dataset(settings.data_file, settings.batch_fraction, settings.sample_seed)
    progress = Progress(settings.state_dir, settings.min_update_time, clock)
    app = FastAPI(
        title="Covertype data source",
        version="1.0.0",
        description=f"Covertype in ten batches, one every {settings.min_update_time:g} s at most.",
    )

    @app.get("/")
    def about() -> dict[str, Any]:
        """What this service offers."""
        return {
            "service": "data-api",
            "description": "Covertype data set, one batch at a time: GET /data?group_number=1..10",
            "rows": dataset.rows,
            "batches": BATCHES,
            "min_update_time": settings.min_update_time,
            "columns": COLUMNS,
        }

    @app.get("/health")
    def health() -> dict[str, str]:
        """Answer while the process lives and has its data."""
        return {"status": "ok"}

    @app.get(
        "/data",
        response_model=Batch,
        responses={400: {"model": Detail, "description": "All batches are out"}},
    )
    def data(group_number: GroupNumber) -> Response:
        """Give a fresh sample of the group's current batch."""
        try:
            batch = progress.batch_for(group_number)
        except AllBatchesServed as error:
            raise HTTPException(400, EXHAUSTED) from error
        # 75,000 strings of our own making: written out without checking each one against the model.
        answer = b'{"group_number":%d,"batch_number":%d,"data":%b}' % (
            group_number,
            batch,
            dataset.sample(batch),
        )
        return Response(answer, media_type="application/json")

    @app.get("/restart_data_generation")
    def restart_data_generation(group_number: GroupNumber) -> list[str]:
        """Start the group again at batch 1."""
        progress.restart(group_number)
        return ["ok"]

    return app
