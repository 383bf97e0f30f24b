"""One registered version of the model, as the registry describes it to whatever client."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CHAMPION = "champion"
# The version that a rollback goes back to, and one that waits for a person's word.
PREVIOUS = "previous"
CHALLENGER = "challenger"

METRIC_PREFIX = "test_"
# On a version: the checksum of its files when it was registered.
CHECKSUM_TAG = "artifact_sha256"


@dataclass(frozen=True)
class ModelVersion:
    """One registered version; `metrics` are those of its training run on test rows (test_accuracy, test_f1,
    ...).
    """

    name: str
    version: int
    run_id: str
    stage: str
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    created: datetime

    @property
    def checksum(self) -> str | None:
        """What its files added up to when it was registered; None for one that was registered without."""
        return self.tags.get(CHECKSUM_TAG)

    @classmethod
    def of(
        cls, found: Mapping[str, Any], tags: Mapping[str, str], aliases: tuple[str, ...]
    ) -> "ModelVersion":
        """From the fields that MLflow gives a version, in its REST API and in its client alike."""
        metrics = {name: float(value) for name, value in tags.items() if name.startswith(METRIC_PREFIX)}
        return cls(
            name=found["name"],
            version=int(found["version"]),
            run_id=found.get("run_id") or "",
            stage=found.get("current_stage") or "None",
            aliases=aliases,
            metrics=metrics,
            tags=dict(tags),
            created=datetime.fromtimestamp(int(found["creation_timestamp"]) / 1000, UTC),
        )
