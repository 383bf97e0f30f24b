"""Every setting of the data source, with its default."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from environment variables named like the fields, in capitals."""

    model_config = SettingsConfigDict(frozen=True)

    data_file: Path = Field(default=Path("/opt/data-api/data/covertype.parquet"))
    state_dir: Path = Field(default=Path("/var/lib/data-api"))
    min_update_time: float = Field(
        default=300, ge=0, description="seconds a batch stays before the next one comes"
    )
    batch_fraction: float = Field(
        default=0.1, gt=0, le=1, description="share of a tenth that one answer samples"
    )
    sample_seed: int | None = Field(
        default=None, ge=0, description="makes samples repeatable, for a class or a test; none: always fresh"
    )
