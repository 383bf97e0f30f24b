"""Every default of the library; the environment (prefix `COVERTYPE_`) overrides each."""

from enum import StrEnum

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Policy(StrEnum):
    """Who puts a better model into Production: the pipeline, a person, or nobody."""

    AUTO = "auto"
    MANUAL = "manual"
    OFF = "off"


class Settings(BaseSettings):
    """Settings of the learning pipeline and of whoever loads its models. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="COVERTYPE_", frozen=True)

    source_url: str = Field(
        default="http://data-api:8000", description="Base URL of the external data source"
    )
    group_number: int = Field(default=1, ge=1, le=10, description="Which group's batches to ask for")
    source_timeout: float = Field(default=30, gt=0, description="Longest silence of the source")
    source_deadline: float = Field(default=300, gt=0, description="Longest time for one whole answer")
    source_max_bytes: int = Field(
        default=32 * 2**20, ge=1, description="Largest answer; a whole tenth of the data has 5 MB"
    )
    source_attempts: int = Field(
        default=7,
        ge=1,
        description="Attempts before the source is given up; a minute, so that it may restart",
    )
    source_backoff: float = Field(default=1, ge=0, description="First wait; it doubles, up to 30")

    quarantine_limit: float = Field(
        default=0.05, ge=0, le=1, description="Share of bad rows up to which the others of a batch are stored"
    )

    lock_timeout: int = Field(default=900, ge=0, description="Longest wait for another run of the pipeline")

    tracking_uri: str = Field(default="http://mlflow:5000", description="MLflow tracking server and registry")
    experiment: str = "covertype_training_experiment"
    model_name: str = "modelo_covertype_vf"

    seed: int = Field(default=20_261, description="Every random choice of training and judging")
    fraction: float = Field(
        default=1, gt=0, le=1, description="Share of the training rows that the final model learns from"
    )
    search_rows: int = Field(default=4_000, ge=200, description="Most training rows that the search sees")
    search_folds: int = Field(default=3, ge=2, description="Folds of the grid search")
    search_trees: int = Field(default=30, ge=1, description="Trees of each candidate of the grid search")
    trees: int = Field(default=60, ge=1, description="Most trees of the model that is trained on all rows")
    least_trees: int = Field(default=40, ge=1, description="Fewest trees of it, however many rows there are")
    tree_rows: int = Field(
        default=22_000_000, ge=1, description="Trees times training rows above which trees become fewer"
    )
    jobs: int = Field(default=-1, description="Threads for training; -1 uses every core")
    importance_rows: int = Field(
        default=1_500, ge=1, description="Most test rows of the permutation importance"
    )

    policy: Policy = Field(default=Policy.AUTO, description="Who puts a better model into Production")
    promote_margin: float = Field(default=0.001, ge=0, description="Gain in macro-F1 that promotes")
    promote_tolerance: float = Field(
        default=0.05, ge=0, description="Loss of F1 of one class that refuses a candidate"
    )
    promote_confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Share of bootstrap samples that must agree"
    )
    promote_samples: int = Field(default=1_000, ge=100, description="Bootstrap samples of one decision")
