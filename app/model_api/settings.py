"""Every setting of the API that is not the library's own (`covertype.settings`), with its default."""

from pathlib import Path

import limits
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """Read from environment variables with the prefix `MODEL_API_`."""

    model_config = SettingsConfigDict(env_prefix="MODEL_API_", env_ignore_empty=True, frozen=True)

    body_limit: int = Field(
        default=10_000_000, gt=0, description="largest request body, in bytes; a longer one is a 413"
    )
    poll_seconds: float = Field(
        default=5, gt=0, description="a new Production version is noticed within this time"
    )
    retry_seconds: float = Field(
        default=60, gt=0, description="longest pause between attempts to load a broken version"
    )
    state_dir: Path = Field(
        default=Path("/var/lib/model-api"), description="folder that outlives the process: models, journal"
    )
    body_seconds: float = Field(default=30, gt=0, description="a body that takes longer to come is a 408")

    key_file: Path | None = Field(
        default=None, description="file with the key that callers must send; none: nobody has to"
    )
    rate_limit: str = Field(
        default="", description="calls of one address, for each process, e.g. `100/second`; empty: no limit"
    )

    edge: str = Field(
        default="", description="host name of the proxy that tells callers' addresses; empty: there is none"
    )

    mysql_host: str = Field(default="", description="where predictions are recorded; empty: they are not")
    mysql_port: int = 3306
    mysql_database: str = "datadb"
    mysql_user: str = "model-api"
    mysql_password_file: Path = Path("/run/secrets/mysql-password")
    journal_limit: int = Field(
        default=500_000_000, gt=0, description="most bytes that wait for the database; what follows is lost"
    )
    deliver_seconds: float = Field(default=1, gt=0, description="pause between deliveries to the database")
    flush_seconds: float = Field(
        default=5,
        gt=0,
        description="longest wait for a delivery, when the process ends or feedback comes early",
    )
    accuracy_seconds: float = Field(default=60, gt=0, description="live accuracy is at most so old")

    ask_seconds: float = Field(
        default=4.5, gt=0, description="longest wait for what the database or MLflow tells; then it is a 503"
    )

    shadow: bool = Field(
        default=False, description="the version with the alias `challenger` predicts the same rows, unseen"
    )
    shadow_queue: int = Field(
        default=1_000, ge=1, description="requests that wait for the challenger at most"
    )

    workers: int = Field(default=1, ge=1, description="processes; each holds the model in memory")

    @field_validator("rate_limit")
    @classmethod
    def _is_a_limit(cls, text: str) -> str:
        if text:
            limits.parse(text)
        return text
