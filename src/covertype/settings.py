"""Every default of the library; the environment (prefix `COVERTYPE_`) overrides each."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the learning pipeline and of whoever loads its models. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="COVERTYPE_", frozen=True)

    source_url: str = Field(
        default="http://data-api:8000", description="Base URL of the external data source"
    )
    group_number: int = Field(default=1, ge=1, le=10, description="Which group's batches to ask for")
    source_timeout: float = Field(default=30, gt=0, description="Longest silence of the source")
    source_attempts: int = Field(default=5, ge=1, description="Attempts before the source is given up")
    source_backoff: float = Field(default=1, ge=0, description="First wait; it doubles, up to 30")

    lock_timeout: int = Field(default=900, ge=0, description="Longest wait for another run of the pipeline")

    tracking_uri: str = Field(default="http://mlflow:5000", description="MLflow tracking server and registry")
    experiment: str = "covertype_training_experiment"
    model_name: str = "modelo_covertype_vf"

    seed: int = Field(default=20_261, description="Every random choice of training")
    search_rows: int = Field(default=4_000, ge=200, description="Most training rows that the search sees")
    search_folds: int = Field(default=3, ge=2, description="Folds of the grid search")
    trees: int = Field(default=80, ge=1, description="Trees of the model that is trained on all rows")
    search_trees: int = Field(default=30, ge=1, description="Trees of each candidate of the grid search")
    jobs: int = Field(default=-1, description="Threads for training; -1 uses every core")

    promote_margin: float = Field(default=0, ge=0, description="Gain in macro-F1 that promotes")
