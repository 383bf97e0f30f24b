"""The external data source over HTTP: one request, one batch, its good rows and its bad ones told apart."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic_core import from_json
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from covertype import contract
from covertype.settings import Settings

log = logging.getLogger(__name__)

EXHAUSTED = "Ya se recolectó toda la información minima necesaria"
_BATCH_NUMBERS = range(1, 11)
_SHOWN = 200
_NAMED = 5
# Of an answer that is nothing but bad rows, this many are described; all are counted.
_DESCRIBED = 10_000


class SourceError(RuntimeError):
    """The source answered with something that cannot be used; the message says what."""


class SourceUnavailable(SourceError):
    """The source did not answer properly: no connection, 5xx or broken JSON. Asking again may help."""


class SourceExhausted(Exception):
    """The source has given all its batches: there is nothing left to ingest."""


@dataclass(frozen=True)
class Batch:
    """One answer of the source.

    `rows` has the good ones alone, as they came: 13 texts each, in the contract's order. `sha256` is the
    digest of the payload in hex; `rows_bad` counts the bad ones and `refusals` describes them, the first
    10,000 at most.
    """

    group_number: int
    batch_number: int
    rows: Sequence[Sequence[str]]
    sha256: str
    rows_bad: int = 0
    refusals: tuple[contract.Refusal, ...] = ()

    @property
    def rows_received(self) -> int:
        """All rows of the payload."""
        return len(self.rows) + self.rows_bad


class BatchRefused(SourceError):
    """Too many rows of a batch are bad; the message has the counts, the first reasons, and where all are."""

    def __init__(self, batch: Batch, limit: float, batch_id: int) -> None:
        more = "; …" if batch.rows_bad > _NAMED else ""
        super().__init__(
            f"{batch.rows_bad} of {batch.rows_received} rows of batch {batch.batch_number} "
            f"break the contract, more than {limit:.1%} (COVERTYPE_QUARANTINE_LIMIT): "
            f"{'; '.join(map(str, batch.refusals[:_NAMED]))}{more}. "
            f"No row was stored; the bad ones are in the table quarantine under batch_id {batch_id}."
        )


def fetch_batch(settings: Settings) -> Batch:
    """Ask the source once for the current batch, trying again while it is unavailable.

    Raises SourceExhausted after the last batch, SourceUnavailable when every attempt failed, SourceError for
    any other answer.
    """

    def warn(state: RetryCallState) -> None:
        log.warning(
            "%s; attempt %d of %d",
            state.outcome and state.outcome.exception(),
            state.attempt_number,
            settings.source_attempts,
        )

    def ask() -> Batch:
        return parse_batch(_request(client, settings), settings.group_number)

    # No compression: a few bytes could become gigabytes before they are counted.
    with httpx.Client(
        base_url=settings.source_url,
        timeout=settings.source_timeout,
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        follow_redirects=False,
    ) as client:
        return Retrying(
            retry=retry_if_exception_type(SourceUnavailable),
            stop=stop_after_attempt(settings.source_attempts),
            wait=wait_exponential(multiplier=settings.source_backoff, max=30),
            before_sleep=warn,
            reraise=True,
        )(ask)


def parse_batch(payload: bytes, group_number: int) -> Batch:
    """The batch in a payload of the source, its rows sorted out.

    Raises SourceUnavailable when the payload is broken JSON, SourceError when it is no batch.
    """
    try:
        answer = _parsed(payload)
    except ValueError as error:
        raise SourceUnavailable(f"The source's answer is not JSON: {error}") from error
    except RecursionError as error:
        raise SourceError(f"The source's answer is nested too deeply: {_shown(payload)}") from error
    match answer:
        case {"group_number": group, "batch_number": batch_number, "data": [_, *_] as data} if (
            # Not isinstance: True is an int, too.
            type(group) is int and type(batch_number) is int and batch_number in _BATCH_NUMBERS
        ):
            pass
        case _:
            raise SourceError(f"The source's answer is not a batch: {_shown(payload)}")
    if group != group_number:
        raise SourceError(f"The source answered for group {group}, asked was group {group_number}.")
    rows, bad = contract.sort_out(data)
    refusals = tuple(contract.refusal(position, data[position]) for position in bad[:_DESCRIBED])
    digest = hashlib.sha256(payload).hexdigest()
    return Batch(group_number, batch_number, rows, digest, len(bad), refusals)


def _parsed(payload: bytes) -> Any:
    """What a payload says: the same texts are the same object, which is read and judged in half the time."""
    try:
        return from_json(payload)
    except ValueError:
        # It refuses what the standard library takes, as half a surrogate pair, which is one row's matter.
        return json.loads(payload)


def _request(client: httpx.Client, settings: Settings) -> bytes:
    try:
        with client.stream("GET", "/data", params={"group_number": settings.group_number}) as answer:
            body = _read(answer, settings)
    except httpx.TransportError as error:
        raise SourceUnavailable(f"The source at {client.base_url} does not answer: {error!r}") from error
    if answer.is_server_error:
        raise SourceUnavailable(f"The source answered {answer.status_code}: {_shown(body)}")
    if answer.status_code == httpx.codes.BAD_REQUEST and _is_exhausted(body):
        raise SourceExhausted(EXHAUSTED)
    if answer.status_code != httpx.codes.OK:
        raise SourceError(f"The source refused the request with {answer.status_code}: {_shown(body)}")
    return body


def _read(answer: httpx.Response, settings: Settings) -> bytes:
    """The body, given up as soon as it is too large or takes too long: neither is bounded by itself."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise SourceError(
            f"The source's answer is compressed ({encoding[:_SHOWN]}), which was not asked for."
        )
    deadline = time.monotonic() + settings.source_deadline
    body = bytearray()
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > settings.source_max_bytes:
            raise SourceError(
                f"The source's answer has more than {settings.source_max_bytes} bytes "
                "(COVERTYPE_SOURCE_MAX_BYTES)."
            )
        if time.monotonic() > deadline:
            raise SourceUnavailable(
                f"The source's answer was not whole after {settings.source_deadline:g} s "
                f"({len(body)} bytes, COVERTYPE_SOURCE_DEADLINE)."
            )
    return bytes(body)


def _is_exhausted(body: bytes) -> bool:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("detail") == EXHAUSTED


def _shown(payload: bytes) -> str:
    return payload[:_SHOWN].decode(errors="replace")
