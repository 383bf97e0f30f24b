"""The DAG as Airflow's DAG processor sees it."""

import os
import tempfile
from pathlib import Path

# Before Airflow is imported: it writes its configuration and logs there.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-test-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

DAG_FILE = Path(__file__).parents[2] / "dags" / "modeling_covertype.py"


@pytest.fixture(scope="session")
def dag() -> DAG:
    bag = DagBag(DAG_FILE)
    assert bag.import_errors == {}
    assert list(bag.dags) == ["DAG_p2"]
    return bag.dags["DAG_p2"]
