"""DAG_p2: one batch from the source, then the whole way to a model in Production. The work is done by the
library `covertype`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook, CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from covertype.tables import MySQL

# A little more than the source's window of 300 s: every slot meets a new batch.
SCHEDULE = os.environ.get("COVERTYPE_SCHEDULE", "*/6 * * * *")

DOC = """
### From the data source to the Production model
**collect** asks the source once and stores the batch · **train** learns from everything gathered so far ·
**register** makes the model a version of `modelo_covertype_vf` ·
**promote** puts it in Production when it beats the champion on the same test rows.

Each task can be cleared and repeated alone. When the source has given all ten batches, runs end as *skipped*.
A lock in MySQL keeps two runs apart, whoever starts them.
"""


@contextmanager
def database() -> Iterator["MySQL"]:
    """The MySQL database behind the Airflow connection `mysql_default`."""
    from covertype import tables

    known = BaseHook.get_connection("mysql_default")
    connection = tables.connect(
        known.host or "", known.login or "", known.password or "", known.schema or "", known.port or 3306
    )
    try:
        yield connection
    finally:
        connection.close()


@dag(
    dag_id="DAG_p2",
    doc_md=DOC,
    tags=["covertype", "training"],
    schedule=CronTriggerTimetable(SCHEDULE, timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "covertype",
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        # Longer than the wait for another run's lock (COVERTYPE_LOCK_TIMEOUT) and the work itself.
        "execution_timeout": timedelta(minutes=45),
    },
)
def modeling_covertype() -> None:
    """Wire the four tasks one after the other."""

    @task
    def collect(run_id: str | None = None) -> dict[str, int]:
        """One request to the source; ledger and rows in one transaction. Returns the numbers of the batch and
        of its rows.
        """
        from covertype import source, steps
        from covertype.settings import Settings

        with database() as connection:
            try:
                receipt = steps.collect(connection, Settings(), str(run_id))
            except source.SourceExhausted as answer:
                raise AirflowSkipException(f"The source has given all its batches: {answer}") from answer
            except source.SourceUnavailable:
                raise  # another attempt may meet it back at work
            except source.SourceError as error:
                raise AirflowFailException(
                    f"{error} Nothing was stored; look at the source before the next run."
                ) from error
        return {
            "batch": receipt.batch_number,
            "rows_received": receipt.rows_received,
            "rows_new": receipt.rows_new,
        }

    @task
    def train(run_id: str | None = None) -> str:
        """Search, train, evaluate and log. Returns the id of the MLflow run."""
        from covertype import steps
        from covertype.settings import Settings
        from covertype.train import NotEnoughData

        with database() as connection:
            try:
                return steps.learn(connection, Settings(), str(run_id))
            except NotEnoughData as error:
                raise AirflowFailException(str(error)) from error

    @task
    def register(mlflow_run: str) -> int:
        """Make the logged model a version of the registered model. Returns its number."""
        from covertype import steps
        from covertype.settings import Settings

        with database() as connection:
            return steps.register(connection, Settings(), mlflow_run)

    @task
    def promote(version: int) -> dict[str, int | bool | str]:
        """Candidate against champion on the same test rows. Returns the decision and its reason."""
        from covertype import steps
        from covertype.settings import Settings

        with database() as connection:
            promotion = steps.decide(connection, Settings(), version)
        return {"version": version, "promoted": promotion.promoted, "reason": promotion.reason}

    learnt = train()
    collect() >> learnt
    promote(register(learnt))


modeling_covertype()
