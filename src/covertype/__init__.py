"""From the external data source to the Production model of forest cover: everything but the orchestration and
the serving.
"""

import os

# MLflow reads these when it is imported or used; whoever sets them outside wins. They keep logs free of
# progress bars and links, and containers without a writable home or a way to the internet out of trouble.
for _name, _value in {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - the one place where the containers may write
}.items():
    os.environ.setdefault(_name, _value)
