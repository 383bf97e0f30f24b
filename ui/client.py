"""The one way from the page to the model API: a typed answer, or ApiError that says what failed."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

import answers
from form import Form, read_schema

READ_SECONDS = 5.0
# What the API asks of others first, or counts over all rows.
REPORT_SECONDS = 15.0
PREDICT_SECONDS = 20.0
BATCH_SECONDS = 60.0
LONGEST_DETAIL = 300
# What is unavailable here is a model; elsewhere it is a server behind the API.
NEED_A_MODEL = {"/model", "/predict", "/predict/batch"}


class Kind(StrEnum):
    """What went wrong with a call, as a reader needs to know it; the texts have one sentence for each."""

    UNREACHABLE = "unreachable"
    SLOW = "slow"
    NOT_READY = "not_ready"
    AWAY = "away"
    REFUSED = "refused"
    FAILED = "failed"
    NONSENSE = "nonsense"


@dataclass(frozen=True)
class Problem:
    """A call that gave no usable answer: what was called, where, and the API's own words if it had any."""

    kind: Kind
    call: str
    url: str
    detail: str = ""
    seconds: float = 0.0
    # Column -> the API's message about it, when it refused values.
    fields: Mapping[str, str] = field(default_factory=dict)
    # The status of HTTP, where there was an answer.
    status: int = 0


class ApiError(Exception):
    """Raised by every method of ModelApi that gets no usable answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.call}: {problem.kind}: {problem.detail}")
        self.problem = problem


class ModelApi:
    """Calls of the model API at one address (scheme://host:port); safe to share between threads."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        # The API is a neighbour on a private network: proxies of the environment are not for it.
        headers = {"accept": "application/json"} | ({"x-api-key": key} if key else {})
        self._http = httpx.Client(base_url=self.url, trust_env=False, headers=headers)

    def form(self) -> Form:
        """What GET /schema says a record is."""
        return self._read("/schema", read_schema)

    def serving(self) -> answers.Serving:
        """The version that GET /model names; a NOT_READY problem when the API has no model."""
        return self._read("/model", answers.read_serving)

    def model_names(self) -> tuple[str, ...]:
        """Names that GET /listar_modelos offers, in its order."""
        return self._read("/listar_modelos", answers.read_model_names)

    def versions(self) -> tuple[answers.Version, ...]:
        """Every version of GET /models, in its order."""
        return self._read("/models", answers.read_versions)

    def promotions(self) -> tuple[answers.Promotion, ...]:
        """The decisions about versions, the newest first."""
        return self._read("/promotions?limit=200", answers.read_promotions)

    def evaluation(self, version: str) -> answers.Evaluation:
        """The report of one version; a REFUSED problem when there is no such version."""
        path = f"/models/{quote(version, safe='')}/evaluation"
        return self._read(path, answers.read_evaluation, REPORT_SECONDS)

    def batches(self) -> tuple[answers.Batch, ...]:
        """The requests to the data source, the newest first."""
        return self._read("/batches", answers.read_batches)

    def distribution(self, column: str) -> answers.Distribution:
        """How a column is distributed in each batch of the source."""
        path = f"/batches/distribution?column={quote(column, safe='')}"
        return self._read(path, answers.read_distribution, REPORT_SECONDS)

    def quarantine(self) -> answers.Quarantine:
        """The rows set aside, the newest first: a thousand of them at most."""
        return self._read("/quarantine?limit=1000", answers.read_quarantine)

    def state(self) -> answers.State:
        """The whole pipeline, as far as the API knows it now."""
        return self._read("/state", answers.read_state, REPORT_SECONDS)

    def predict(self, record: Mapping[str, int | str], model: str | None) -> answers.Prediction:
        """The prediction for one record by the named model (None: the API's own choice)."""
        body = dict(record) if model is None else {**record, "model": model}
        call = "POST /predict"
        answer = self._send("POST", "/predict", PREDICT_SECONDS, body)
        return self._understand(call, answers.read_prediction, answer)

    def predict_all(self, records: Sequence[Mapping[str, int | str]]) -> tuple[answers.Prediction, ...]:
        """The predictions for 1 to 10,000 records, in their order and all of one version."""
        answer = self._send("POST", "/predict/batch", BATCH_SECONDS, {"records": records})
        return self._understand(
            "POST /predict/batch", lambda body: answers.read_predictions(body, len(records)), answer
        )

    def feedback(self, prediction_id: str, cover_type: int) -> None:
        """Tell the true class of what was predicted; a later word replaces an earlier one."""
        body = {"prediction_id": prediction_id, "cover_type": cover_type}
        self._send("POST", "/feedback", PREDICT_SECONDS, body, httpx.codes.NO_CONTENT)

    def _read[T](self, path: str, parse: Callable[[Any], T], seconds: float | None = None) -> T:
        answer = self._send("GET", path, READ_SECONDS if seconds is None else seconds)
        return self._understand(f"GET {path}", parse, answer)

    def _send(
        self,
        method: str,
        path: str,
        seconds: float,
        body: object = None,
        expected: httpx.codes = httpx.codes.OK,
    ) -> httpx.Response:
        call = f"{method} {path}"
        timeout = httpx.Timeout(seconds, connect=min(2.0, seconds))
        try:
            answer = self._http.request(method, path, json=body, timeout=timeout)
        except httpx.ConnectTimeout as error:
            raise ApiError(Problem(Kind.UNREACHABLE, call, self.url)) from error
        except httpx.TimeoutException as error:
            raise ApiError(Problem(Kind.SLOW, call, self.url, seconds=seconds)) from error
        except httpx.RemoteProtocolError as error:
            raise ApiError(Problem(Kind.NONSENSE, call, self.url, str(error)[:LONGEST_DETAIL])) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiError(Problem(Kind.UNREACHABLE, call, self.url)) from error
        if answer.status_code != expected:
            raise ApiError(_refusal(answer, call, self.url))
        return answer

    def _understand[T](self, call: str, parse: Callable[[Any], T], answer: httpx.Response) -> T:
        try:
            return parse(answer.json())
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            detail = f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
            raise ApiError(Problem(Kind.NONSENSE, call, self.url, detail)) from error


def from_environment() -> ModelApi:
    """The client of the address in MODEL_API_URL, with the key in MODEL_API_KEY_FILE if that names a file."""
    file = os.environ.get("MODEL_API_KEY_FILE")
    key = Path(file).read_text(encoding="utf-8").strip() if file else ""
    return ModelApi(os.environ.get("MODEL_API_URL", "http://model-api:8989"), key)


def _refusal(answer: httpx.Response, call: str, url: str) -> Problem:
    """The problem that an unexpected status stands for, with the API's reason."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    reason = body.get("detail", body.get("reason", "")) if isinstance(body, dict) else ""
    fields: dict[str, str] = {}
    if isinstance(reason, list):
        said = [item for item in reason if isinstance(item, dict)]
        fields = {str(item["loc"][-1]): str(item.get("msg", "")) for item in said if item.get("loc")}
        reason = "; ".join(f"{name}: {message}" for name, message in fields.items())
    code = answer.status_code
    if code == httpx.codes.SERVICE_UNAVAILABLE:
        kind = Kind.NOT_READY if answer.url.path in NEED_A_MODEL else Kind.AWAY
    elif answer.is_client_error:
        kind = Kind.REFUSED
    elif answer.is_server_error:
        kind = Kind.FAILED
    else:
        kind = Kind.NONSENSE
    detail = str(reason)[:LONGEST_DETAIL] or f"HTTP {code}"
    return Problem(kind, call, url, detail, fields=fields, status=code)
