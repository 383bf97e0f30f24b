"""Every setting of the API that is not the library's own (`covertype.settings`), with its default."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """Read from environment variables with the prefix `MODEL_API_`."""

    model_config = SettingsConfigDict(env_prefix="MODEL_API_", frozen=True)

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
