"""The steps of one learning run, each a transaction that can be repeated alone. `DAG_p2` calls them one after
the other.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
from mlflow import MlflowClient

from covertype import evaluate, prepare, promote, registry, snapshot, source, tables, train
from covertype.artifact import ArtifactError
from covertype.evaluate import Answers, BrokenModel
from covertype.settings import Policy, Settings
from covertype.snapshot import Snapshot
from covertype.tables import MySQL, Promotion
from covertype.version import ModelVersion

log = logging.getLogger(__name__)

# One at a time, whoever starts them: the lock is the guarantee, the scheduler's limit a courtesy.
LOCK = "learning"
# Held only while Production is judged and moved, so that a rollback does not wait for a training.
PRODUCTION_LOCK = "production"

PROMOTED, REFUSED, WAITING, OFF = "promoted", "refused", "waiting", "off"
APPROVED, ROLLED_BACK = "approved", "rolled back"
_REASON = 1_000  # characters that the table holds


class NothingNew(Exception):
    """Every row that is stored has been learnt from and decided about: there is nothing to do."""


class NotWaiting(RuntimeError):
    """The version does not wait for anybody's approval, or not in front of the model now in Production."""


def ingest(connection: MySQL, settings: Settings, dag_run_id: str) -> tables.Receipt:
    """Ask the source once for a batch and store it; a run whose batch is stored does not ask again.

    Guaranteed, whatever is killed and whenever: every row of a batch that the ledger acknowledges is stored,
    each row once however often it came, and a row that is stored has its line in the ledger. A run
    acknowledges one answer. Not guaranteed: that an answer is stored which was under way when this process,
    MySQL or the source died. The source moves on by requests and not by acknowledgements, so the next try
    asks again, and may get another sample or the next batch.

    Bad rows are set aside in `quarantine`. Of a batch with more than `quarantine_limit` of them nothing is
    stored but the ledger's line, marked as refused, and the bad rows.

    Raises source.SourceExhausted, source.SourceError (BatchRefused is one) or tables.LockTimeout.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        tables.create_tables(connection)
        receipt = tables.receipt_of(connection, dag_run_id)
        if receipt is None:
            batch = source.fetch_batch(settings)
            if batch.rows_bad > settings.quarantine_limit * batch.rows_received:
                refused = tables.refuse_batch(connection, batch, dag_run_id)
                raise source.BatchRefused(batch, settings.quarantine_limit, refused.batch_id)
            receipt = tables.store_batch(connection, batch, dag_run_id)
        log.info("%s", receipt)
        return receipt


def take_snapshot(connection: MySQL, settings: Settings, *, force: bool) -> Snapshot:
    """Fix the rows that this run learns from and is judged on.

    Raises NothingNew when a decision about a model of exactly these rows stands, unless a training is forced.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        tables.create_tables(connection)
        taken = snapshot.take(connection)
        if not taken.rows:
            raise NothingNew("No row is stored yet.")
        known = None if force else train.run_on(settings, taken)
        if known is not None and tables.promotions(connection, candidate_run_id=known):
            raise NothingNew(
                f"The {taken.rows} rows stored are those of run {known}, whose model is decided about."
            )
        return taken


def learn(connection: MySQL, settings: Settings, taken: Snapshot, dag_run_id: str, *, force: bool) -> str:
    """Train on a snapshot; returns the id of the MLflow run. What is learnt already is not learnt again.

    Raises train.NotEnoughData, snapshot.SnapshotError or tables.LockTimeout.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        known = train.run_of(settings, dag_run_id)
        if known is None and not force:
            # Two runs may have met the same rows: the later one goes on with the model of the first.
            known = train.run_on(settings, taken)
        if known is not None:
            log.info("Run %s has learnt these rows already.", known)
            return known
        observations = snapshot.load(connection, taken)
        before = _what_users_got(settings, observations)
        return train.train(settings, taken, observations, dag_run_id, before)


def _what_users_got(settings: Settings, observations: pd.DataFrame) -> dict[str, float]:
    """The champion's figures on the batch that has just come, if it has not learnt from it."""
    champion = registry.champion(settings)
    if champion is None:
        return {}
    newest = int(observations["batch_id"].max())
    learnt = _client(settings).get_run(champion.run_id).data.params.get(train.LEDGER_PARAM)
    if learnt is None or int(learnt) >= newest:
        return {}
    try:
        pipeline = registry.load(settings, champion).artifact.pipeline
        answers = evaluate.ask(pipeline, observations[observations["batch_id"] == newest])
    except (ArtifactError, BrokenModel) as error:
        log.warning("Version %d in Production gives no answers: %s", champion.version, error)
        return {}
    return evaluate.renamed(evaluate.score(answers), "before")


def assess(connection: MySQL, settings: Settings, taken: Snapshot, run_id: str) -> None:
    """Score the model of a run on its snapshot's test rows; log figures, pictures and model card to the run.

    Repeating it writes the same again. Raises artifact.ArtifactError or evaluate.BrokenModel for a model that
    cannot be used.
    """
    from covertype import report  # noqa: PLC0415 - it draws: five of six tasks start faster without it

    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        report.publish(settings, snapshot.load(connection, taken), run_id)


def register(connection: MySQL, settings: Settings, run_id: str) -> int:
    """Register the model of an MLflow run; returns its version."""
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        return registry.register(settings, run_id).version


def decide(connection: MySQL, settings: Settings, taken: Snapshot, version: int) -> Promotion:
    """Judge the candidate and the champion on the same test rows, write the decision down and carry it out.

    A decision that stands is not taken again, but it is carried out: the step may have been cut short between
    the two.
    """
    # Also the lock of learning: a training and two models to judge do not fit into memory together.
    with tables.named_lock(connection, LOCK, settings.lock_timeout), _production(connection, settings):
        candidate = registry.get(settings, version)
        champion = registry.champion(settings)
        request = _client(settings).get_run(candidate.run_id).data.tags[train.DAG_RUN_TAG]
        known = tables.promotions(connection, candidate_run_id=candidate.run_id, request=request)
        if known:
            promotion = known[0]
        else:
            rows = snapshot.load(connection, taken)
            promotion = _judge(settings, rows, candidate, champion, request)
            tables.record_promotion(connection, candidate.name, promotion)
        registry.tag(
            settings,
            version,
            {
                "decision": promotion.decision,
                "decision_reason": promotion.reason,
                "decision_champion": str(promotion.champion or "none"),
            },
        )
        # Only against the champion that it was decided against, and never again after a rollback.
        stands = promotion.champion == _number(champion) and registry.ROLLED_BACK_TAG not in candidate.tags
        if promotion.promoted and stands:
            registry.set_production(settings, version)
        if promotion.decision == WAITING and stands:
            registry.set_challenger(settings, version)
        log.info("Version %d: %s: %s", version, promotion.decision, promotion.reason)
        return promotion


def approve(connection: MySQL, settings: Settings, version: int, request: str) -> Promotion:
    """A person's word: put a version that waits into Production. Raises NotWaiting for any other version."""
    with _production(connection, settings):
        candidate, champion = registry.get(settings, version), registry.champion(settings)
        decided = tables.promotions(connection, candidate_run_id=candidate.run_id)
        known = [one for one in decided if one.request == request]
        if known:
            promotion = known[0]
        else:
            if not decided or decided[-1].decision != WAITING:
                raise NotWaiting(
                    f"Version {version} does not wait for approval: "
                    f"{decided[-1].decision if decided else 'nothing was decided about it'}."
                )
            waiting = decided[-1]
            if waiting.champion != _number(champion):
                raise NotWaiting(
                    f"Version {version} was judged against version {waiting.champion}, and Production is "
                    f"version {_number(champion)} now: run the DAG with `force`, and approve its version."
                )
            promotion = Promotion(
                candidate=version,
                candidate_run_id=candidate.run_id,
                candidate_metrics=waiting.candidate_metrics,
                champion=waiting.champion,
                champion_metrics=waiting.champion_metrics,
                promoted=True,
                reason=f"Approved by a person. {waiting.reason}"[:_REASON],
                decision=APPROVED,
                request=request,
            )
            tables.record_promotion(connection, candidate.name, promotion)
        if promotion.champion == _number(champion):
            registry.tag(settings, version, {"decision": APPROVED, "decision_reason": promotion.reason})
            registry.set_production(settings, version)
        return promotion


def rollback(connection: MySQL, settings: Settings, request: str) -> Promotion:
    """Write down that the version before goes back into Production, and carry it out. The same request goes
    back once.

    Raises registry.RegistryError when there is nothing to go back to.
    """
    with _production(connection, settings):
        tables.create_tables(connection)
        known = tables.promotions(connection, request=request)
        if known:
            promotion = known[0]
        else:
            now, before = registry.before_champion(settings)
            promotion = Promotion(
                candidate=now.version,
                candidate_run_id=now.run_id,
                candidate_metrics=now.metrics,
                champion=before.version,
                champion_metrics=before.metrics,
                promoted=True,
                reason=f"Rolled back: version {now.version} is Production again (was {before.version}).",
                decision=ROLLED_BACK,
                request=request,
            )
            tables.record_promotion(connection, now.name, promotion)
        champion = registry.champion(settings)
        if champion is not None and champion.version == promotion.champion:
            registry.put_back(settings, promotion.candidate, champion.version)
        return promotion


def _judge(
    settings: Settings,
    rows: pd.DataFrame,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    request: str,
) -> Promotion:
    trains, tests = prepare.split(rows)
    # One model in memory at a time.
    ours = _answers(settings, candidate, tests)
    theirs = None if champion is None else _answers(settings, champion, tests)
    judged = promote.decide(ours, theirs, evaluate.score(evaluate.baseline(trains, tests)), _rules(settings))
    decision, reason = PROMOTED if judged.promote else REFUSED, judged.reason
    if judged.promote and settings.policy is Policy.MANUAL:
        decision, reason = WAITING, f"Waits for approval (policy manual). {reason}"
    elif settings.policy is Policy.OFF:
        decision, reason = OFF, f"The policy is off. {reason}"
    return Promotion(
        candidate=candidate.version,
        candidate_run_id=candidate.run_id,
        candidate_metrics=_figures(ours) or {},
        champion=_number(champion),
        champion_metrics=_figures(theirs),
        promoted=decision == PROMOTED,
        reason=reason[:_REASON],
        decision=decision,
        request=request,
    )


def _answers(settings: Settings, version: ModelVersion, tests: pd.DataFrame) -> Answers | str:
    """A version's answers about the test rows, or why it gives none."""
    try:
        return evaluate.ask(registry.load(settings, version).artifact.pipeline, tests)
    except (ArtifactError, BrokenModel) as error:
        return str(error)


def _figures(answers: Answers | str | None) -> dict[str, float] | None:
    return evaluate.score(answers) if isinstance(answers, Answers) else None


def _rules(settings: Settings) -> promote.Rules:
    return promote.Rules(
        margin=settings.promote_margin,
        tolerance=settings.promote_tolerance,
        confidence=settings.promote_confidence,
        samples=settings.promote_samples,
        seed=settings.seed,
    )


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else version.version


def _client(settings: Settings) -> MlflowClient:
    return MlflowClient(tracking_uri=settings.tracking_uri)


@contextmanager
def _production(connection: MySQL, settings: Settings) -> Iterator[None]:
    with tables.named_lock(connection, PRODUCTION_LOCK, settings.lock_timeout):
        yield
