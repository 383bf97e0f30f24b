"""What goes in and out over HTTP. Ranges and categories come from the library's contract, written once."""

from datetime import datetime
from typing import Annotated, Any

from fastapi.openapi.models import Example
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from covertype import contract, questions
from covertype.version import ModelVersion
from model_api.engine import Record
from model_api.model import ServingModel

MOST_RECORDS = 10_000

ModelName = Annotated[
    str | None,
    Field(description="Name of a registered model, as /listar_modelos gives it; default: the only one"),
]


class _Strict(BaseModel):
    """Nothing is guessed: unknown fields, and text or booleans in the place of numbers, are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _measured(name: str) -> Any:
    limits = contract.RANGES[name]
    return Field(ge=limits.minimum, le=limits.maximum, description=f"{limits.description} ({limits.unit})")


class _Category:
    """One of the values that the contract lists for a column; an error names them all."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(contract.CATEGORIES[self.column]))


class Observation(_Strict):
    """The 12 features of one cell of the forest, in the order of the contract."""

    Elevation: int = _measured("Elevation")
    Aspect: int = _measured("Aspect")
    Slope: int = _measured("Slope")
    Horizontal_Distance_To_Hydrology: int = _measured("Horizontal_Distance_To_Hydrology")
    Vertical_Distance_To_Hydrology: int = _measured("Vertical_Distance_To_Hydrology")
    Horizontal_Distance_To_Roadways: int = _measured("Horizontal_Distance_To_Roadways")
    Hillshade_9am: int = _measured("Hillshade_9am")
    Hillshade_Noon: int = _measured("Hillshade_Noon")
    Hillshade_3pm: int = _measured("Hillshade_3pm")
    Horizontal_Distance_To_Fire_Points: int = _measured("Horizontal_Distance_To_Fire_Points")
    Wilderness_Area: Annotated[str, _Category("Wilderness_Area")] = Field(
        description=contract.CATEGORY_DESCRIPTIONS["Wilderness_Area"]
    )
    Soil_Type: Annotated[str, _Category("Soil_Type")] = Field(
        description=contract.CATEGORY_DESCRIPTIONS["Soil_Type"]
    )

    def features(self) -> Record:
        """The 12 values by column."""
        values = self.__dict__
        return {name: values[name] for name in contract.FEATURES}


# A real row of each class.
# fmt: off
_ROWS = {
    0: (3192, 59, 3, 331, 37, 2630, 221, 233, 148, 924, "Commanche", "C7756"),
    1: (3040, 70, 19, 601, 208, 630, 237, 200, 88, 942, "Rawah", "C7745"),
    2: (2516, 169, 16, 67, 18, 997, 230, 245, 141, 1591, "Commanche", "C2705"),
    3: (2262, 111, 13, 0, 0, 1300, 242, 225, 110, 577, "Cache", "C2704"),
    4: (2785, 69, 21, 150, 130, 162, 237, 192, 77, 1321, "Rawah", "C7746"),
    5: (2570, 306, 25, 120, 52, 1075, 144, 217, 209, 1606, "Commanche", "C7757"),
    6: (3416, 290, 14, 95, 22, 5177, 179, 237, 198, 3870, "Commanche", "C8771"),
}
# fmt: on
# What /schema adds to the contract: each class by its number and name, with a record that is of it.
CLASSES: list[dict[str, Any]] = [
    {
        "class": code,
        "label": contract.CLASSES[code],
        "example": dict(zip(contract.FEATURES, row, strict=True)),
    }
    for code, row in _ROWS.items()
]
EXAMPLES: dict[str, Example] = {
    item["label"]: {"summary": f"A cell that is {item['label']}", "value": item["example"]}
    for item in CLASSES
}


class PredictRequest(Observation):
    """One observation and, optionally, the model to ask."""

    model_config = ConfigDict(json_schema_extra={"examples": [dict(contract.EXAMPLE)]})

    model: ModelName = None


def _valid_or_judged(records: Any, judge: ValidatorFunctionWrapHandler) -> list[Record]:
    """The same records when all of them are good; only else is each value judged, to say what is wrong."""
    if isinstance(records, list) and 0 < len(records) <= MOST_RECORDS and contract.all_valid(records):
        return records
    judged: list[Observation] = judge(records)
    return [observation.features() for observation in judged]


class _Observations:
    """Records like `Observation`, and validated as those are."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        limited = Annotated[list[Observation], Field(min_length=1, max_length=MOST_RECORDS)]
        return core_schema.no_info_wrap_validator_function(_valid_or_judged, handler.generate_schema(limited))


class BatchRequest(_Strict):
    """Many observations for one vectorised prediction."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"records": [dict(contract.EXAMPLE)]}]})

    records: Annotated[list[Record], _Observations()]
    model: ModelName = None


class Prediction(BaseModel):
    """The class of one observation, as one version of the model sees it."""

    prediction: int = Field(ge=0, le=6, description="Cover_Type")
    label: str = Field(description="Name of the class")
    probabilities: dict[str, float] = Field(description="Of every class, by its name; they add up to 1")
    model_version: str = Field(description="The version that computed this prediction")
    prediction_id: str = Field(description="A random UUID")


class BatchAnswer(BaseModel):
    """Predictions in the order of the records, all of one version."""

    predictions: list[Prediction]
    model_version: str


class Feedback(_Strict):
    """The true class of an observation that was predicted; a later one replaces an earlier one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prediction_id": "3f0e4d0a-8f0c-4f4e-9d63-0f1f6f0a9b57", "cover_type": 1}]
        }
    )

    prediction_id: str = Field(max_length=100, description="As the prediction came with")
    cover_type: int = Field(ge=0, le=6, description="Cover_Type that it turned out to be")


class AvailableModels(BaseModel):
    """Names of the registered models that have a Production version."""

    modelos_disponibles: list[str]


class LiveAccuracy(BaseModel):
    """How a version did where the truth is known by now."""

    known: int = Field(description="Predictions with feedback")
    accuracy: float = Field(description="Share of them that were right")


class ServingVersion(BaseModel):
    """The version that answers now."""

    name: str
    version: str
    run_id: str
    loaded_at: datetime
    metrics: dict[str, float]
    engine: str = Field(
        description="What computes its probabilities: a compact forest, or scikit-learn itself"
    )
    live: LiveAccuracy | None = Field(description="What feedback says of this version; null: nothing yet")
    engine_note: str | None = Field(description="Why it is no compact forest, if so")
    problem: str | None = Field(description="Why this may not be the Production version of the moment, if so")

    @classmethod
    def of(
        cls, model: ServingModel, problem: str | None, live: questions.Feedback | None
    ) -> "ServingVersion":
        """Describe the model that serves."""
        registered = model.registered
        return cls(
            name=registered.name,
            version=str(registered.version),
            run_id=registered.run_id,
            loaded_at=model.loaded_at,
            metrics=dict(registered.metrics),
            engine=model.engine.name,
            live=LiveAccuracy(known=live.known, accuracy=live.accuracy) if live else None,
            engine_note=model.engine_note,
            problem=problem,
        )


class RegisteredVersion(BaseModel):
    """A version in the registry."""

    name: str
    version: str
    stage: str
    aliases: list[str]
    metrics: dict[str, float]
    created: datetime

    @classmethod
    def of(cls, version: ModelVersion) -> "RegisteredVersion":
        """Describe a version as the registry has it."""
        return cls(
            name=version.name,
            version=str(version.version),
            stage=version.stage,
            aliases=list(version.aliases),
            metrics=dict(version.metrics),
            created=version.created,
        )


class Status(BaseModel):
    """A sign of life."""

    status: str


class Detail(BaseModel):
    """Why there is no answer."""

    detail: str


class Error(BaseModel):
    """Why there is no answer, as the Open Inference Protocol says it."""

    error: str
