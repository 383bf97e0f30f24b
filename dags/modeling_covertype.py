"""DAG_p2: one batch from the source, then the whole way to a model in Production. The work is done by the
library `covertype`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseHook, CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from covertype.settings import Settings
    from covertype.tables import MySQL

# A little more than the source's window of 300 s: every slot meets a new batch.
SCHEDULE = os.environ.get("COVERTYPE_SCHEDULE", "*/6 * * * *")
PATIENCE = int(os.environ.get("COVERTYPE_PATIENCE", "1"))
# Longer than the wait for another run's lock (COVERTYPE_LOCK_TIMEOUT) and the work on all rows.
TIMEOUT = timedelta(minutes=60 * PATIENCE)
# A database that says nothing for so many seconds keeps no task from its work: it goes unmentioned then.
SILENCE = 5 * PATIENCE

DOC = """
### From the data source to the Production model
**ingest** asks the source once and stores the batch · **prepare** fixes the rows that this run is about, by
the ledger's last line and a fingerprint · **train** scores the Production model on the batch that has just
come, searches and trains · **evaluate** scores the new model on the test rows and writes pictures and a model
card to MLflow · **register** makes it a version of `modelo_covertype_vf` · **promote** puts it in Production
when it beats the champion on the same test rows, beyond noise and without losing a class.

Each task can be cleared and repeated alone. A run that meets no new rows, or an exhausted source, ends as
*skipped*, unless `force` asks for a training. Locks in MySQL keep two runs apart, whoever starts them.

With *action* `rollback` or `approve` nothing is ingested or trained: **promote** puts the previous version
back, or the waiting `version`, into Production. Every decision stands in `datadb.promotions` and in the
version's tags.
"""

PARAMS = {
    "action": Param(
        "learn",
        type="string",
        enum=["learn", "rollback", "approve"],
        title="What to do",
        description="Learn from the next batch; or put the version before back into Production; or approve "
        "one that waits.",
    ),
    "group": Param(
        int(os.environ.get("COVERTYPE_GROUP_NUMBER", "1")),
        type="integer",
        minimum=1,
        maximum=10,
        title="Group",
        description="Group under which the source is asked.",
    ),
    "fraction": Param(
        1.0,
        type="number",
        exclusiveMinimum=0,
        maximum=1,
        title="Fraction",
        description="Share of the training rows to learn from, for a quick trial; all test rows judge. How "
        "much a batch brings is the source's own affair (BATCH_FRACTION).",
    ),
    "force": Param(
        default=False,
        type="boolean",
        title="Force training",
        description="Train although there is nothing new, or the source is exhausted.",
    ),
    "policy": Param(
        os.environ.get("COVERTYPE_POLICY", "auto"),
        type="string",
        enum=["auto", "manual", "off"],
        title="Policy",
        description="Who puts a better model into Production: the run, a person (by `approve`), or nobody.",
    ),
    "version": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="With `approve`: the version that waits.",
    ),
}


class Skip(AirflowSkipException):  # type: ignore[misc] # without types here
    """Skips a task, and is remembered: Airflow tells callbacks why a task failed, not why it was skipped.

    A process runs one task.
    """

    last: ClassVar["Skip | None"] = None

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        Skip.last = self


@contextmanager
def database(silence: float | None = None) -> Iterator["MySQL"]:
    """The MySQL database behind the Airflow connection `mysql_default`."""
    from covertype import tables

    known = BaseHook.get_connection("mysql_default")
    connection = tables.connect(
        *(known.host or "", known.login or "", known.password or "", known.schema or "", known.port or 3306),
        silence=silence,
    )
    try:
        yield connection
    finally:
        connection.close()


def write_down(state: str) -> Callable[[Any], None]:
    """A callback that writes down how a task stands, for people whom Airflow does not tell.

    Airflow calls it in the task's own process, and logs what it raises: a task does not fail by it.
    """

    def written(context: Any) -> None:
        from covertype import trace

        instance, task = context["ti"], context["task"]
        attempt = trace.Attempt(
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            task_id=instance.task_id,
            number=instance.try_number,
            timeout=int(TIMEOUT.total_seconds()),
            is_last=not task.downstream_task_ids,
        )
        with database(SILENCE) as connection:
            if state == trace.RUNNING:
                trace.begin(connection, attempt)
            else:
                error = Skip.last if state == trace.SKIPPED else context.get("exception")
                trace.end(connection, attempt, state, error)

    return written


def settings_of(params: dict[str, Any] | None) -> "Settings":
    """The library's settings with what the trigger form says."""
    from covertype.settings import Settings

    asked = params or {}
    names = {"group": "group_number", "fraction": "fraction", "policy": "policy"}
    return Settings(**{name: asked[param] for param, name in names.items() if param in asked})


def only_when_learning(params: dict[str, Any] | None) -> None:
    """Skip a task that has no part in a rollback or an approval."""
    if (params or {}).get("action", "learn") != "learn":
        raise Skip("Nothing is learnt in a run with this action.")


@task
def ingest(params: dict[str, Any] | None = None, run_id: str | None = None) -> dict[str, int]:
    """One request to the source; ledger and rows in one transaction. Returns the receipt: the numbers of the
    batch and of its rows.
    """
    from covertype import source, steps

    only_when_learning(params)
    with database() as connection:
        try:
            receipt = steps.ingest(connection, settings_of(params), str(run_id))
        except source.SourceExhausted as answer:
            raise Skip(f"The source has given all its batches: {answer}") from answer
        except source.SourceUnavailable:
            raise  # another attempt may meet it back at work
        except source.SourceError as error:
            raise AirflowFailException(
                f"{error} Nothing was stored; look at the source before the next run."
            ) from error
    return asdict(receipt)


@task(trigger_rule="none_failed")
def prepare(params: dict[str, Any] | None = None) -> dict[str, int | str]:
    """Fix the rows of this run, also when the source is exhausted and an earlier run left some unlearnt.
    Returns the snapshot: the ledger's last line, the number of rows, their fingerprint.
    """
    from covertype import steps

    only_when_learning(params)
    with database() as connection:
        try:
            taken = steps.take_snapshot(
                connection, settings_of(params), force=bool((params or {}).get("force"))
            )
        except steps.NothingNew as answer:
            raise Skip(f"{answer} Trigger with `force` to train all the same.") from answer
    return asdict(taken)


@task
def train(taken: dict[str, Any], params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    """Score the champion on the new batch, search, train and log. Returns the id of the MLflow run."""
    from covertype import steps
    from covertype.snapshot import Snapshot
    from covertype.train import NotEnoughData

    with database() as connection:
        try:
            return steps.learn(
                connection,
                settings_of(params),
                Snapshot(**taken),
                str(run_id),
                force=bool((params or {}).get("force")),
            )
        except NotEnoughData as error:
            raise AirflowFailException(str(error)) from error


@task
def evaluate(taken: dict[str, Any], mlflow_run: str, params: dict[str, Any] | None = None) -> str:
    """Figures, pictures and model card of the model on the test rows. Returns the id of the MLflow run."""
    from covertype import artifact, steps
    from covertype.evaluate import BrokenModel
    from covertype.snapshot import Snapshot

    with database() as connection:
        try:
            steps.assess(connection, settings_of(params), Snapshot(**taken), mlflow_run)
        except (artifact.ArtifactError, BrokenModel) as error:
            raise AirflowFailException(
                f"The model of run {mlflow_run} cannot be used and is not registered: {error} "
                "Production stays as it is. Trigger with `force` to train anew."
            ) from error
    return mlflow_run


@task
def register(mlflow_run: str, params: dict[str, Any] | None = None) -> int:
    """Make the logged model a version of the registered model. Returns its number."""
    from covertype import steps

    with database() as connection:
        return steps.register(connection, settings_of(params), mlflow_run)


@task(trigger_rule="none_failed")
def promote(
    taken: dict[str, Any] | None,
    version: int | None,
    params: dict[str, Any] | None = None,
    run_id: str | None = None,
) -> dict[str, int | str]:
    """Candidate against champion on the same test rows; or a rollback, or a person's approval. Returns the
    version and what was decided about it.
    """
    from covertype import registry, steps
    from covertype.snapshot import Snapshot

    asked, settings = params or {}, settings_of(params)
    with database() as connection:
        try:
            match asked.get("action", "learn"):
                case "rollback":
                    promotion = steps.rollback(connection, settings, str(run_id))
                case "approve":
                    if asked.get("version") is None:
                        raise AirflowFailException("Name the version to approve in the trigger form.")
                    promotion = steps.approve(connection, settings, asked["version"], str(run_id))
                case _ if taken is None or version is None:
                    raise Skip("There is no new model to decide about.")
                case _:
                    promotion = steps.decide(connection, settings, Snapshot(**taken), version)
        except (registry.RegistryError, steps.NotWaiting) as error:
            raise AirflowFailException(str(error)) from error
    return {
        "version": promotion.candidate,
        "decision": promotion.decision,
        "reason": promotion.reason,
    }


@dag(
    dag_id="DAG_p2",
    doc_md=DOC,
    tags=["covertype", "training"],
    params=PARAMS,
    schedule=CronTriggerTimetable(SCHEDULE, timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "covertype",
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "execution_timeout": TIMEOUT,
        "on_execute_callback": write_down("running"),
        "on_success_callback": write_down("success"),
        "on_skipped_callback": write_down("skipped"),
        "on_retry_callback": write_down("up_for_retry"),
        "on_failure_callback": write_down("failed"),
    },
)
def modeling_covertype() -> None:
    """Wire the six tasks one after the other."""
    taken = prepare()
    ingest() >> taken
    promote(taken, register(evaluate(taken, train(taken))))


modeling_covertype()
