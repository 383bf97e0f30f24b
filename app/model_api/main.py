"""The HTTP face of the model."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.middleware import Middleware

from covertype import contract
from covertype.settings import Settings
from model_api import schemas
from model_api.boundary import BodyLimit, JsonRoute, refuse_invalid
from model_api.serving import MlflowRegistry, ModelHolder, NoModel, Registry, ServingModel
from model_api.settings import ApiSettings
from model_api.shelf import Shelf

log = logging.getLogger(__name__)

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Detail, "description": "No model; the reason"}
}
_PREDICTING: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Detail, "description": "No model of that name"},
    413: {"model": schemas.Detail, "description": "The body is too large"},
    **_NOT_READY,
}


def create_app(
    registry: Registry | None = None,
    settings: Settings | None = None,
    api_settings: ApiSettings | None = None,
) -> FastAPI:
    """Build the application; the registry is first asked when it starts, and may be away then."""
    settings, api_settings = settings or Settings(), api_settings or ApiSettings()
    registry = registry or MlflowRegistry(settings, Shelf(api_settings.state_dir / "models"))
    holder = ModelHolder(registry, api_settings.poll_seconds, api_settings.retry_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Beside uvicorn's own log lines; does nothing where logging is set up already.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        holder.start()
        yield
        holder.stop()

    app = FastAPI(
        title="Forest cover predictions",
        version="1.0.0",
        description="Predicts the forest cover of a 30 x 30 m cell with the model that is in Production.",
        lifespan=lifespan,
        exception_handlers={RequestValidationError: refuse_invalid},
        middleware=[Middleware(BodyLimit, limit=api_settings.body_limit)],
    )
    app.router.route_class = JsonRoute

    def serving_model() -> ServingModel:
        try:
            return holder.current()
        except NoModel as error:
            raise HTTPException(503, str(error)) from error

    def model_for(name: str | None) -> ServingModel:
        if name is not None and name != settings.model_name:
            raise HTTPException(404, f"There is no model {name[:100]!r}; see /listar_modelos")
        return serving_model()

    @app.get("/health")
    def health() -> schemas.Status:
        """Answer while the process lives."""
        return schemas.Status(status="ok")

    @app.get("/ready", responses=_NOT_READY)
    def ready(_model: Annotated[ServingModel, Depends(serving_model)]) -> schemas.Status:
        """Answer 200 when a Production model is loaded."""
        return schemas.Status(status="ready")

    @app.get(
        "/models", responses={503: {"model": schemas.Detail, "description": "The registry does not answer"}}
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

    @app.get("/listar_modelos")
    def available_models() -> schemas.AvailableModels:
        """Give the names that a prediction may ask for, as the registry last said."""
        names = [holder.production.name] if holder.production else []
        return schemas.AvailableModels(modelos_disponibles=names)

    @app.get("/model", responses=_NOT_READY)
    def model(serving: Annotated[ServingModel, Depends(serving_model)]) -> schemas.ServingVersion:
        """Give the version that answers now."""
        return schemas.ServingVersion.of(serving, holder.problem)

    @app.post("/predict", response_model=schemas.Prediction, responses=_PREDICTING)
    def predict(request: schemas.PredictRequest) -> Response:
        """Predict one observation."""
        return _json(model_for(request.model).predict([request.features()])[0])

    @app.post("/predict/batch", response_model=schemas.BatchAnswer, responses=_PREDICTING)
    def predict_batch(request: schemas.BatchRequest) -> Response:
        """Predict up to 10,000 observations at once, all with the same version."""
        serving = model_for(request.model)
        predictions = serving.predict([record.features() for record in request.records])
        return _json({"predictions": predictions, "model_version": str(serving.registered.version)})

    @app.get("/schema")
    def schema() -> dict[str, Any]:
        """Give the JSON schema of one record: ranges, categories, units and an example."""
        return contract.record_schema()

    return app


def _json(answer: dict[str, Any]) -> Response:
    # Made by this process from checked values: written out without a second validation.
    return Response(to_json(answer), media_type="application/json")
