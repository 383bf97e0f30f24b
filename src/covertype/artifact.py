"""A model as it lies in MLflow: how it is written, and how it is read back without trusting what it says
about itself.
"""

import hashlib
import logging
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Run
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from sklearn.pipeline import Pipeline

from covertype import contract
from covertype.version import ModelVersion

with warnings.catch_warnings():
    # Looking for scipy's functions, skops touches every module loaded: Airflow's deprecated ones complain.
    warnings.simplefilter("ignore")
    import skops.io

# The images have no pip, whose version MLflow would like to note.
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

log = logging.getLogger(__name__)

NAME = "model"

# MLflow takes the types to trust from the model's own description, which whoever made the model wrote. Ours
# are these, whatever it says.
TRUSTED_TYPES = ["covertype.prepare.TerrainFeatures", "sklearn.tree._tree.Tree"]
# MLflow's client writes it beside the files of a version that it fetches; it lies in no bucket.
_OF_THE_CLIENT = "registered_model_meta"
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")


class ArtifactError(RuntimeError):
    """A logged model that this project did not write, or that does not load."""


@dataclass(frozen=True)
class Artifact:
    """A loaded model: the fitted pipeline (12 columns in, Cover_Type out) and the input example that it was
    logged with.
    """

    pipeline: Pipeline
    example: pd.DataFrame


def signature() -> ModelSignature:
    """Integers in and out as `long`, categories as text."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string if name in contract.CATEGORIES else DataType.long, name)
        for name in contract.FEATURES
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(DataType.long, contract.TARGET)]))


def log_pipeline(pipeline: Pipeline, example: pd.DataFrame) -> None:
    """Log a fitted pipeline to the active run with signature, example (n x 12), pinned requirements and its
    own code; no pickle.
    """
    mlflow.sklearn.log_model(
        pipeline,
        name=NAME,
        signature=signature(),
        input_example=example[list(contract.FEATURES)],
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        code_paths=[str(Path(__file__).parent)],
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
    )


def model_id(run: Run) -> str:
    """The id of the model that a run has logged; raises ArtifactError when it is not exactly one."""
    models = run.outputs.model_outputs if run.outputs else []
    if len(models) != 1:
        raise ArtifactError(f"Run {run.info.run_id} has logged {len(models)} models, expected one.")
    return str(models[0].model_id)


def load_pipeline(uri: str) -> Artifact:
    """Load a logged model, e.g. `models:/modelo_covertype_vf/3`; raises ArtifactError when it is not one of
    ours.
    """
    with tempfile.TemporaryDirectory(prefix="covertype-model-") as folder:
        return read(download(uri, folder), uri)


def checksum(path: Path) -> str:
    """SHA-256 over names and contents of a model's files: none can be changed, added or taken away."""
    lines = []
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name != _OF_THE_CLIENT:
            with file.open("rb") as content:
                lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def verify(path: Path, version: ModelVersion) -> None:
    """Refuse, by ArtifactError, files of a version that are not those that were registered; a version without
    a checksum passes with a warning.
    """
    if version.checksum is None:
        log.warning(
            "Version %d was registered without a checksum: its files are taken as they are.", version.version
        )
    elif (found := checksum(path)) != version.checksum:
        raise ArtifactError(
            f"version {version.version} is not what was registered: the checksum of its files is "
            f"{found[:12]}… instead of {version.checksum[:12]}…"
        )


def read(path: Path, name: str) -> Artifact:
    """Load a model from its files; raises ArtifactError, with its name, when it is not one of ours."""
    try:
        description = Model.load(str(path))
        flavor = description.flavors.get(mlflow.sklearn.FLAVOR_NAME, {})
        if flavor.get("serialization_format") != mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS:
            raise ArtifactError(f"{name} is not in the skops format; loading it could run foreign code.")
        if description.signature != signature():
            raise ArtifactError(
                f"{name} has another signature than this project's models: {description.signature}"
            )
        example = description.load_input_example(str(path))
        if not isinstance(example, pd.DataFrame):
            raise ArtifactError(f"{name} carries no table as input example.")
        pipeline = skops.io.load(path / flavor["pickled_model"], trusted=TRUSTED_TYPES)
    except skops.io.exceptions.UntrustedTypesFoundException as error:
        raise ArtifactError(f"{name} holds types that are not trusted: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{name} is damaged: {error!r}") from error
    return Artifact(pipeline, contract.as_typed(example))


def download(uri: str, folder: str) -> Path:
    """The logged model as files. Files that are not there raise ArtifactError; a server that is away raises
    as it does, and may be asked again.
    """
    # Asked first: a download of nothing and a server that is away end in the same error.
    present = {Path(file.path).name for file in mlflow.artifacts.list_artifacts(artifact_uri=uri)}
    if MLMODEL_FILE_NAME not in present:
        raise ArtifactError(f"{uri} has no files any more.")
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
