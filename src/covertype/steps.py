"""The four steps of one learning run, each a transaction that can be repeated alone. `DAG_p2` calls them one
after the other.
"""

import logging

from covertype import evaluate, promote, registry, source, tables, train
from covertype.prepare import split
from covertype.settings import Settings
from covertype.tables import MySQL

log = logging.getLogger(__name__)

# One at a time, whoever starts them: the lock is the guarantee, the scheduler's limit a courtesy.
LOCK = "learning"


def collect(connection: MySQL, settings: Settings, dag_run_id: str) -> tables.Receipt:
    """Ask the source once for a batch and store it; a run that has stored its batch already does not ask
    again.

    Raises source.SourceExhausted, source.SourceError or tables.LockTimeout.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        tables.create_tables(connection)
        receipt = tables.receipt_of(connection, dag_run_id)
        if receipt is None:
            receipt = tables.store_batch(connection, source.fetch_batch(settings), dag_run_id)
        log.info("%s", receipt)
        return receipt


def learn(connection: MySQL, settings: Settings, dag_run_id: str) -> str:
    """Train on all that has been gathered; returns the id of the MLflow run. Raises train.NotEnoughData or
    tables.LockTimeout.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        return train.train(settings, tables.load_observations(connection), dag_run_id)


def register(connection: MySQL, settings: Settings, run_id: str) -> int:
    """Register the model of an MLflow run; returns its version."""
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        return registry.register(settings, run_id).version


def decide(connection: MySQL, settings: Settings, version: int) -> tables.Promotion:
    """Score the candidate and the champion on the same test rows, write the decision down and carry it out.

    A decision that stands is not taken again, but it is carried out: the step may have been cut short between
    the two.
    """
    with tables.named_lock(connection, LOCK, settings.lock_timeout):
        candidate = registry.get(settings, version)
        champion = registry.champion(settings)
        promotion = tables.promotion_of(connection, candidate.run_id)
        if promotion is None:
            promotion = _judge(connection, settings, candidate, champion)
            tables.record_promotion(connection, candidate.name, promotion)
        # Only against the champion that it was decided against, and never again after a rollback.
        stands = (
            promotion.champion == (champion and champion.version)
            and registry.ROLLED_BACK_TAG not in candidate.tags
        )
        if promotion.promoted and stands:
            registry.set_production(settings, version)
        log.info("Version %d: %s", version, promotion.reason)
        return promotion


def _judge(
    connection: MySQL,
    settings: Settings,
    candidate: registry.ModelVersion,
    champion: registry.ModelVersion | None,
) -> tables.Promotion:
    _, tests = split(tables.load_observations(connection))
    # One model in memory at a time.
    metrics = evaluate.score(registry.load(settings, candidate).artifact.pipeline, tests)
    champion_metrics = None
    if champion is not None:
        champion_metrics = evaluate.score(registry.load(settings, champion).artifact.pipeline, tests)
    decision = promote.decide(metrics, champion_metrics, settings.promote_margin)
    return tables.Promotion(
        candidate=candidate.version,
        candidate_run_id=candidate.run_id,
        candidate_metrics=metrics,
        champion=_number(champion),
        champion_metrics=champion_metrics,
        promoted=decision.promote,
        reason=decision.reason,
    )


def _number(version: registry.ModelVersion | None) -> int | None:
    return None if version is None else version.version
