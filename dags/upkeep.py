"""covertype_upkeep: what is older than the retention goes. The library and Airflow's command do the work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseHook, CronTriggerTimetable, Param, dag, task

if TYPE_CHECKING:
    from covertype.tables import MySQL

RETENTION_DAYS = int(os.environ.get("COVERTYPE_RETENTION_DAYS", "30"))
LOGS = "/opt/airflow/logs"

DOC = """
### What is older than the retention goes
**prune_mlflow** deletes old runs and logged models with their artifacts, never those of a registered
version · **prune_answers** deletes old predictions and feedback · **prune_traces** deletes what tasks
of `DAG_p2` wrote down about themselves · **prune_history** takes old runs, tasks and events out of
Airflow's database · **prune_logs** deletes old log files.

Every night; each task can be repeated. Trigger it with another `retention_days` to clean up more.
Deleted artifacts stay recoverable in MinIO, whose bucket keeps versions, for as long again.
"""


def oldest_kept(dag_run: Any, params: Any) -> datetime:
    """The time before which everything goes."""
    oldest: datetime = dag_run.run_after - timedelta(days=params["retention_days"])
    return oldest


@contextmanager
def database() -> Iterator["MySQL"]:
    """The MySQL database behind the Airflow connection `mysql_default`."""
    from contextlib import closing

    from covertype import tables

    known = BaseHook.get_connection("mysql_default")
    named = (known.host or "", known.login or "", known.password or "", known.schema or "")
    with closing(tables.connect(*named, known.port or 3306)) as connection:
        yield connection


@dag(
    dag_id="covertype_upkeep",
    doc_md=DOC,
    tags=["covertype", "upkeep"],
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    # No start_date: a stack that was just made has nothing to clean, and waits for its first night.
    catchup=False,
    max_active_runs=1,
    params={
        "retention_days": Param(
            RETENTION_DAYS, type="integer", minimum=1, description="Days for which everything is kept"
        )
    },
    default_args={
        "owner": "covertype",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=1),
    },
    user_defined_macros={"oldest_kept": oldest_kept},
)
def covertype_upkeep() -> None:
    """Five tasks that do not depend on one another."""

    @task
    def prune_mlflow(dag_run: Any = None, params: Any = None) -> dict[str, int]:
        """Old runs and logged models, with their artifacts. Returns how many."""
        from dataclasses import asdict

        from covertype import upkeep
        from covertype.settings import Settings

        return asdict(upkeep.prune_mlflow(Settings(), oldest_kept(dag_run, params)))

    @task
    def prune_answers(dag_run: Any = None, params: Any = None) -> dict[str, int]:
        """Old predictions of the model API, and old feedback. Returns how many of each."""
        from covertype import upkeep

        with database() as connection:
            return upkeep.prune_answers(connection, oldest_kept(dag_run, params))

    @task
    def prune_traces(dag_run: Any = None, params: Any = None) -> int:
        """Old lines of `dag_tasks`. Returns how many."""
        from covertype import upkeep

        with database() as connection:
            return upkeep.prune_traces(connection, oldest_kept(dag_run, params))

    @task
    def prune_logs(dag_run: Any = None, params: Any = None) -> int:
        """Old log files. Returns how many."""
        from pathlib import Path

        from covertype import upkeep

        return upkeep.prune_files(Path(LOGS), oldest_kept(dag_run, params))

    prune_mlflow()
    prune_answers()
    prune_traces()
    prune_logs()
    BashOperator(
        task_id="prune_history",
        doc_md="Airflow's own history, by Airflow's own command; the last scheduled run of each DAG is kept.",
        # Airflow takes the way to its database from tasks, as tasks of others should not have it. This one is
        # administration, and names it for the command alone.
        bash_command=(
            'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="${COVERTYPE_AIRFLOW_DATABASE:?names the database}" '
            "exec airflow db clean --clean-before-timestamp '{{ oldest_kept(dag_run, params).isoformat() }}' "
            "--skip-archive --error-on-cleanup-failure --yes"
        ),
        do_xcom_push=False,
    )


covertype_upkeep()
