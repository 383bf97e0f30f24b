"""The HTTP face of the model."""

import gc
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import limits
from fastapi import Body, Depends, FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as HTTPError
from starlette.middleware import Middleware

from covertype import contract
from covertype.settings import Settings
from covertype.version import CHALLENGER
from model_api import logs, metrics, schemas
from model_api.access import Callers, KeyRequired, RateLimit, describe_key, read_key
from model_api.archive import Archive, MySQLArchive
from model_api.asking import Away
from model_api.attendance import Attended
from model_api.boundary import BodyLimit, JsonRoute, refuse, refuse_away, refuse_invalid
from model_api.engine import Record
from model_api.model import ServingModel
from model_api.pipeline import add_pipeline
from model_api.protocols import add_protocols
from model_api.records import Recorder, RecordsAway
from model_api.registry import MlflowRegistry, Registry
from model_api.reports import MlflowReports, Reports
from model_api.serving import ModelHolder, NoModel
from model_api.settings import ApiSettings
from model_api.shadow import Shadow
from model_api.shelf import Shelf
from model_api.state import StateTeller, open_desks

log = logging.getLogger(__name__)

# So many take less time than handing them to another thread would.
_FEW_ROWS = 64

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Detail, "description": "No model; the reason"}
}
_PREDICTING: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Detail, "description": "No model of that name"},
    408: {"model": schemas.Detail, "description": "The body came too slowly"},
    413: {"model": schemas.Detail, "description": "The body is too large"},
    **_NOT_READY,
}
_FEEDBACK: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Detail, "description": "No prediction of that id"},
    408: _PREDICTING[408],
    413: _PREDICTING[413],
    503: {"model": schemas.Detail, "description": "The database of predictions is away, or there is none"},
}


def create_app(
    registry: Registry | None = None,
    settings: Settings | None = None,
    api_settings: ApiSettings | None = None,
    archive: Archive | None = None,
    reports: Reports | None = None,
) -> FastAPI:
    """Build the application; nobody is asked before it starts, and anybody may be away then."""
    settings, api_settings = settings or Settings(), api_settings or ApiSettings()
    registry = registry or MlflowRegistry(settings, Shelf(api_settings.state_dir / "models"))
    holder = ModelHolder(registry, api_settings.poll_seconds, api_settings.retry_seconds)
    recorder = Recorder(api_settings)
    archive, reports = archive or MySQLArchive(api_settings), reports or MlflowReports(settings)
    desks = open_desks(api_settings.ask_seconds)
    shadow = None
    if api_settings.shadow:
        challenger = ModelHolder(registry, api_settings.poll_seconds, api_settings.retry_seconds, CHALLENGER)
        shadow = Shadow(challenger, api_settings.shadow_queue)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        logs.configure()
        # Threads that deliver or compare keep a request waiting for so long at most, not for 5 ms.
        sys.setswitchinterval(0.0005)
        # What is there by now stays: the collector need not look through it again and again.
        gc.freeze()
        recorder.start()
        holder.start()
        if shadow:
            shadow.start()
        yield
        if shadow:
            shadow.stop()
        holder.stop()
        recorder.stop()
        desks.close()

    key = read_key(api_settings.key_file) if api_settings.key_file else None
    app = FastAPI(
        title="Forest cover predictions",
        version="1.0.0",
        description="Predicts the forest cover of a 30 x 30 m cell with the model that is in Production.",
        lifespan=lifespan,
        exception_handlers={RequestValidationError: refuse_invalid, HTTPError: refuse, Away: refuse_away},
        middleware=_layers(api_settings, key),
    )
    app.router.route_class = JsonRoute
    # Routes are tried in their order: what is asked most comes first.
    _add_predictions(app, settings.model_name, holder, recorder, shadow)
    _add_state(app, registry, holder, recorder)
    teller = StateTeller(holder, archive, reports, desks)
    add_pipeline(app, archive, reports, registry, teller=teller, desks=desks)
    if key:
        describe_key(app)
    return app


def _layers(settings: ApiSettings, key: bytes | None) -> list[Middleware]:
    """What a request passes on its way in, the outermost first."""
    layers = [Middleware(Attended)]
    if key:
        layers.append(Middleware(KeyRequired, key=key))
    if settings.rate_limit:
        callers = Callers(settings.edge)
        layers.append(Middleware(RateLimit, limit=limits.parse(settings.rate_limit), callers=callers))
    layers.append(Middleware(BodyLimit, limit=settings.body_limit, seconds=settings.body_seconds))
    return layers


def _serving(holder: ModelHolder) -> ServingModel:
    try:
        return holder.current()
    except NoModel as error:
        raise HTTPException(503, str(error)) from error


def _add_state(app: FastAPI, registry: Registry, holder: ModelHolder, recorder: Recorder) -> None:
    """Add the calls that tell what is here: the process, the models, the contract, the metrics."""

    def serving_model() -> ServingModel:
        return _serving(holder)

    @app.get("/health", tags=["state"])
    def health() -> schemas.Status:
        """Answer while the process lives."""
        return schemas.Status(status="ok")

    @app.get("/ready", tags=["state"], responses=_NOT_READY)
    def ready(_model: Annotated[ServingModel, Depends(serving_model)]) -> schemas.Status:
        """Answer 200 when a Production model is loaded."""
        return schemas.Status(status="ready")

    @app.get(
        "/models",
        tags=["state"],
        responses={503: {"model": schemas.Detail, "description": "The registry does not answer"}},
    )
    def models() -> list[schemas.RegisteredVersion]:
        """Give every registered version, the newest first, as the registry has it now."""
        try:
            versions = registry.list_versions()
        except Exception as error:
            # The client of the registry raises many kinds of errors; to the caller they are one.
            log.warning("The model registry does not answer", exc_info=error)
            raise HTTPException(503, "the model registry does not answer") from error
        return [schemas.RegisteredVersion.of(version) for version in versions]

    @app.get("/listar_modelos", tags=["state"])
    def available_models() -> schemas.AvailableModels:
        """Give the names that a prediction may ask for, as the registry last said."""
        names = [holder.production.name] if holder.production else []
        return schemas.AvailableModels(modelos_disponibles=names)

    @app.get("/model", tags=["state"], responses=_NOT_READY)
    def model(serving: Annotated[ServingModel, Depends(serving_model)]) -> schemas.ServingVersion:
        """Give the version that answers now."""
        live = recorder.accuracy(serving.registered.run_id)
        return schemas.ServingVersion.of(serving, holder.problem, live)

    @app.get("/metrics", tags=["state"], response_class=PlainTextResponse)
    def show_metrics() -> Response:
        """Give the metrics in Prometheus' text format."""
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    @app.get("/schema", tags=["state"])
    def schema() -> dict[str, Any]:
        """Give the JSON schema of one record: ranges, categories, units, and an example of each class."""
        return contract.record_schema() | {"classes": schemas.CLASSES}


def _add_predictions(
    app: FastAPI, model_name: str, holder: ModelHolder, recorder: Recorder, shadow: Shadow | None
) -> None:
    """Add the calls that ask the model, and the one that tells what became of an answer."""

    def model_for(name: str | None) -> ServingModel:
        if name is not None and name != model_name:
            raise HTTPException(404, f"There is no model {name[:100]!r}; see /listar_modelos")
        return _serving(holder)

    def compute(serving: ServingModel, records: list[Record]) -> list[dict[str, Any]]:
        started = time.perf_counter()
        predictions = serving.predict(records)
        version = serving.registered
        seconds = time.perf_counter() - started
        recorder.record(version.version, version.run_id, records, predictions, seconds)
        if shadow:
            shadow.follow(records, [prediction["prediction"] for prediction in predictions])
        return predictions

    async def answer(serving: ServingModel, records: list[Record]) -> list[dict[str, Any]]:
        if len(records) < _FEW_ROWS:
            return compute(serving, records)
        return await run_in_threadpool(compute, serving, records)

    @app.post("/predict", tags=["predictions"], response_model=schemas.Prediction, responses=_PREDICTING)
    async def predict(
        request: Annotated[schemas.PredictRequest, Body(openapi_examples=schemas.EXAMPLES)],
    ) -> Response:
        """Predict one observation."""
        return _json((await answer(model_for(request.model), [request.features()]))[0])

    @app.post(
        "/predict/batch", tags=["predictions"], response_model=schemas.BatchAnswer, responses=_PREDICTING
    )
    async def predict_batch(request: schemas.BatchRequest) -> Response:
        """Predict up to 10,000 observations at once, all with the same version."""
        serving = model_for(request.model)
        predictions = await answer(serving, request.records)
        return _json({"predictions": predictions, "model_version": str(serving.registered.version)})

    @app.post("/feedback", tags=["predictions"], status_code=204, responses=_FEEDBACK)
    def feedback(request: schemas.Feedback) -> None:
        """Store what an observation turned out to be, for the accuracy that users see."""
        try:
            known = recorder.feedback(request.prediction_id, request.cover_type)
        except RecordsAway as error:
            raise HTTPException(503, str(error)) from error
        if not known:
            raise HTTPException(404, f"There is no prediction {request.prediction_id!r}")

    add_protocols(app, model_for, answer, _PREDICTING)


def _json(answer: dict[str, Any]) -> Response:
    # Made by this process from checked values: written out without a second validation.
    return Response(to_json(answer), media_type="application/json")
