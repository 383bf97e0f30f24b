"""The same model by other protocols: Open Inference (V2), and `/invocations` as MLflow serves it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from covertype import contract
from model_api import schemas
from model_api.engine import Record
from model_api.model import ServingModel

type Answer = Callable[[ServingModel, list[Record]], Awaitable[list[dict[str, Any]]]]
type Location = tuple[str | int, ...]

_MOST_ROWS = schemas.MOST_RECORDS
_OBSERVATION = TypeAdapter(schemas.Observation)
_EXAMPLE: dict[str, Any] = dict(contract.EXAMPLE)
_OUTPUTS = {
    contract.TARGET: ("INT64", [-1]),
    "probabilities": ("FP64", [-1, len(contract.CLASSES)]),
    "prediction_id": ("BYTES", [-1]),
}


class Split(BaseModel):
    """A data frame as pandas writes it with `orient="split"`."""

    columns: list[str] = Field(max_length=100)
    data: list[list[Any]] = Field(min_length=1, max_length=_MOST_ROWS)
    index: list[Any] | None = Field(default=None, description="Ignored")


class Invocation(BaseModel):
    """One of the forms that `mlflow models serve` takes."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"dataframe_records": [_EXAMPLE]}]}
    )

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = Field(default=None, min_length=1, max_length=_MOST_ROWS)


class InvocationAnswer(BaseModel):
    """The Cover_Type of each row."""

    predictions: list[int]


class InputTensor(BaseModel):
    """One column: as many values as there are rows."""

    name: str = Field(max_length=100)
    shape: list[int] = Field(min_length=1, max_length=2, description="[rows] or [rows, 1]")
    datatype: str = Field(max_length=10, description="INT8 to INT64, UINT8 to UINT64; BYTES for text")
    data: list[Any] = Field(max_length=_MOST_ROWS)
    parameters: dict[str, Any] | None = None


class RequestedOutput(BaseModel):
    """An output that the client wants."""

    name: str = Field(max_length=100)
    parameters: dict[str, Any] | None = None


class InferenceRequest(BaseModel):
    """A tensor for each of the 12 features."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {
                            "name": name,
                            "shape": [1],
                            "datatype": "BYTES" if name in contract.CATEGORIES else "INT64",
                            "data": [value],
                        }
                        for name, value in _EXAMPLE.items()
                    ]
                }
            ]
        }
    )

    id: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=100)
    outputs: list[RequestedOutput] | None = Field(default=None, max_length=100)


class OutputTensor(BaseModel):
    """What the model says of all rows, flat."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferenceAnswer(BaseModel):
    """Cover_Type, probabilities and ids."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


def add_protocols(
    app: FastAPI,
    model_for: Callable[[str | None], ServingModel],
    answer: Answer,
    responses: dict[int | str, dict[str, Any]],
) -> None:
    """Add the calls; those of the Open Inference Protocol have its shape for errors."""
    refused = {status: said | {"model": schemas.Error} for status, said in responses.items()}
    refused[422] = {"model": schemas.Error, "description": "What is wrong, place by place"}

    @app.post("/invocations", tags=["other protocols"], responses=responses)
    async def invocations(request: Invocation) -> InvocationAnswer:
        """Predict as `mlflow models serve` does."""
        serving = model_for(None)
        answers = await answer(serving, _from_invocation(request))
        return InvocationAnswer(predictions=[one["prediction"] for one in answers])

    @app.get("/v2/health/live", tags=["other protocols"])
    def live() -> dict[str, bool]:
        """Answer while the process lives."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["other protocols"], responses=refused)
    def all_ready() -> dict[str, bool]:
        """Answer 200 when a model is loaded."""
        return {"ready": bool(model_for(None))}

    @app.get("/v2/models/{name}/ready", tags=["other protocols"], responses=refused)
    def ready(name: str) -> dict[str, Any]:
        """Answer 200 when that model is loaded."""
        return {"name": name, "ready": bool(model_for(name))}

    @app.get("/v2/models/{name}", tags=["other protocols"], responses=refused)
    def describe(name: str) -> dict[str, Any]:
        """Give the model's inputs and outputs."""
        serving = model_for(name)
        return {
            "name": name,
            "versions": [str(serving.registered.version)],
            "platform": serving.engine.name,
            "inputs": [
                {"name": one, "datatype": _datatype(one), "shape": [-1, 1]} for one in contract.FEATURES
            ],
            "outputs": [
                {"name": one, "datatype": datatype, "shape": shape}
                for one, (datatype, shape) in _OUTPUTS.items()
            ],
        }

    @app.post(
        "/v2/models/{name}/infer",
        tags=["other protocols"],
        responses=refused | {400: {"model": schemas.Error, "description": "No output of that name"}},
    )
    async def infer(name: str, request: InferenceRequest) -> InferenceAnswer:
        """Predict as the Open Inference Protocol asks."""
        serving = model_for(name)
        wanted = [output.name for output in request.outputs or []] or list(_OUTPUTS)
        if unknown := [one for one in wanted if one not in _OUTPUTS]:
            raise HTTPException(400, f"There is no output {unknown[0]!r}; there are {', '.join(_OUTPUTS)}")
        answers = await answer(serving, _from_tensors(request.inputs))
        values: dict[str, list[Any]] = {
            contract.TARGET: [one["prediction"] for one in answers],
            "probabilities": [value for one in answers for value in one["probabilities"].values()],
            "prediction_id": [one["prediction_id"] for one in answers],
        }
        return InferenceAnswer(
            model_name=name,
            model_version=str(serving.registered.version),
            id=request.id,
            outputs=[
                OutputTensor(
                    name=one,
                    shape=[len(answers), *_OUTPUTS[one][1][1:]],
                    datatype=_OUTPUTS[one][0],
                    data=values[one],
                )
                for one in wanted
            ],
        )


def _datatype(name: str) -> str:
    return "BYTES" if name in contract.CATEGORIES else "INT64"


def _from_invocation(request: Invocation) -> list[Record]:
    split, records = request.dataframe_split, request.dataframe_records
    if (split is None) == (records is None):
        _refuse(("body",), "Give dataframe_split or dataframe_records")
    if records is not None:
        return _checked(records, ("body", "dataframe_records"))
    assert split is not None  # noqa: S101 - one of the two is there
    place = ("body", "dataframe_split")
    if len(set(split.columns)) != len(split.columns):
        _refuse((*place, "columns"), "A column is there twice")
    for number, row in enumerate(split.data):
        if len(row) != len(split.columns):
            _refuse((*place, "data", number), f"{len(row)} values for {len(split.columns)} columns")
    return _checked([dict(zip(split.columns, row, strict=True)) for row in split.data], (*place, "data"))


def _from_tensors(inputs: Sequence[InputTensor]) -> list[Record]:
    columns: dict[str, list[Any]] = {}
    for number, tensor in enumerate(inputs):
        place = ("body", "inputs", number)
        data = [value for row in tensor.data for value in (row if isinstance(row, list) else [row])]
        rows = tensor.shape[0]
        if tensor.shape[1:] not in ([], [1]) or rows != len(data) or not 0 < rows <= _MOST_ROWS:
            _refuse((*place, "shape"), f"[rows] or [rows, 1] for {len(data)} values, at most {_MOST_ROWS}")
        if tensor.name in columns:
            _refuse((*place, "name"), f"The input {tensor.name} is there twice")
        columns[tensor.name] = data
    lengths = {len(data) for data in columns.values()}
    if len(lengths) != 1:
        _refuse(("body", "inputs"), "The inputs have different numbers of rows")
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _checked(records, ("body", "inputs"))


def _checked(records: Sequence[dict[str, Any]], place: Location) -> list[Record]:
    """By the one contract; every wrong value of every row is named."""
    if contract.all_valid(records):
        return list(records)
    good: list[Record] = []
    bad: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        try:
            good.append(_OBSERVATION.validate_python(record).features())
        except ValidationError as error:
            bad += [
                {"type": one["type"], "loc": (*place, number, *one["loc"]), "msg": one["msg"]}
                for one in error.errors(include_url=False, include_input=False, include_context=False)
            ]
    if bad:
        raise RequestValidationError(bad)
    return good


def _refuse(place: Location, message: str) -> None:
    raise RequestValidationError([{"type": "value_error", "loc": place, "msg": message}])
