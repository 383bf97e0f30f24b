"""The external data source over HTTP: one request, one validated batch."""

import hashlib
import json
import logging
from dataclasses import dataclass

import httpx
import pandas as pd
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from covertype import contract
from covertype.settings import Settings

log = logging.getLogger(__name__)

EXHAUSTED = "Ya se recolectó toda la información minima necesaria"
_SHOWN = 5


class SourceError(RuntimeError):
    """The source answered with something that cannot be used; the message says what."""


class SourceUnavailable(SourceError):
    """The source did not answer properly: no connection, 5xx or broken JSON. Asking again may help."""


class SourceExhausted(Exception):
    """The source has given all its batches: there is nothing left to collect."""


@dataclass(frozen=True)
class Batch:
    """One answer of the source: `rows` is n x 13 in the contract's columns and types, `sha256` the digest of
    the payload in hex.
    """

    group_number: int
    batch_number: int
    rows: pd.DataFrame
    sha256: str


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

    with httpx.Client(base_url=settings.source_url, timeout=settings.source_timeout) as client:
        payload = Retrying(
            retry=retry_if_exception_type(SourceUnavailable),
            stop=stop_after_attempt(settings.source_attempts),
            wait=wait_exponential(multiplier=settings.source_backoff, max=30),
            before_sleep=warn,
            reraise=True,
        )(_request, client, settings.group_number)
    return parse_batch(payload, settings.group_number)


def parse_batch(payload: bytes, group_number: int) -> Batch:
    """The validated batch in a payload of the source; raises SourceError that names what is wrong with it."""
    answer = json.loads(payload)
    match answer:
        case {"group_number": int(group), "batch_number": int(batch_number), "data": [_, *_] as data} if (
            group == group_number
        ):
            pass
        case {"group_number": int(group)} if group != group_number:
            raise SourceError(f"The source answered for group {group}, asked was group {group_number}.")
        case _:
            raise SourceError(f"The source's answer is not a batch: {payload[:200].decode(errors='replace')}")
    width = len(contract.COLUMNS)
    for position, row in enumerate(data):
        if not (isinstance(row, list) and len(row) == width and all(isinstance(value, str) for value in row)):
            raise SourceError(
                f"Row {position} of batch {batch_number} is not a list of {width} strings: {str(row)[:200]}"
            )

    texts = pd.DataFrame(data, columns=list(contract.COLUMNS), dtype="str")
    if found := contract.violations(texts):
        shown = "; ".join(map(str, found[:_SHOWN])) + ("; …" if len(found) > _SHOWN else "")
        refused = len({violation.row for violation in found})
        raise SourceError(
            f"{refused} of {len(data)} rows of batch {batch_number} break the contract: {shown}"
        )
    return Batch(group_number, batch_number, contract.as_typed(texts), hashlib.sha256(payload).hexdigest())


def _request(client: httpx.Client, group_number: int) -> bytes:
    try:
        answer = client.get("/data", params={"group_number": group_number})
    except httpx.TransportError as error:
        raise SourceUnavailable(f"The source at {client.base_url} does not answer: {error!r}") from error
    except httpx.DecodingError as error:
        raise SourceUnavailable(f"The source's answer is garbled: {error!r}") from error
    if answer.is_server_error:
        raise SourceUnavailable(f"The source answered {answer.status_code}: {answer.text[:200]}")
    try:
        content = answer.json()
    except ValueError as error:
        if answer.is_success:
            raise SourceUnavailable(f"The source's answer is not JSON: {error}") from error
        content = None
    if (
        answer.status_code == httpx.codes.BAD_REQUEST
        and isinstance(content, dict)
        and content.get("detail") == EXHAUSTED
    ):
        raise SourceExhausted(EXHAUSTED)
    if not answer.is_success:
        raise SourceError(f"The source refused the request with {answer.status_code}: {answer.text[:200]}")
    return answer.content
