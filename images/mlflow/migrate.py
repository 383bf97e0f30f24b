"""Bring MLflow's tables to this version, and say which migrations ran.

Run to the end before the server starts: a migration that two processes begin, or that a restart interrupts,
does not recover by itself. The URL is that of the environment, as the server reads it.
"""

import logging
import os

from mlflow.db import upgrade

logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
logging.getLogger("alembic").setLevel(logging.INFO)

upgrade([os.environ["MLFLOW_BACKEND_STORE_URI"]])
