"""A model API for tests, over real HTTP: good answers at first, and any kind of trouble on request."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from stub_reports import CLASSES, NAME, reports

FEATURES: dict[str, tuple[int, int, str]] = {
    "Elevation": (1859, 3858, "m"),
    "Aspect": (0, 360, "degrees"),
    "Slope": (0, 66, "degrees"),
    "Horizontal_Distance_To_Hydrology": (0, 1397, "m"),
    "Vertical_Distance_To_Hydrology": (-173, 601, "m"),
    "Horizontal_Distance_To_Roadways": (0, 7117, "m"),
    "Hillshade_9am": (0, 254, "index"),
    "Hillshade_Noon": (0, 254, "index"),
    "Hillshade_3pm": (0, 254, "index"),
    "Horizontal_Distance_To_Fire_Points": (0, 7173, "m"),
}
EXAMPLE: dict[str, int | str] = {
    **dict.fromkeys(FEATURES, 100),
    "Elevation": 2596,
    "Slope": 3,
    "Vertical_Distance_To_Hydrology": -12,
    "Wilderness_Area": "Rawah",
    "Soil_Type": "C7745",
}
METRICS = {"test_accuracy": 0.9335, "test_precision": 0.912, "test_recall": 0.866, "test_f1": 0.888}


def schema() -> dict[str, Any]:
    """The answer of GET /schema."""
    properties: dict[str, Any] = {
        name: {"type": "integer", "minimum": low, "maximum": high, "unit": unit, "description": name}
        for name, (low, high, unit) in FEATURES.items()
    }
    properties["Wilderness_Area"] = {"type": "string", "enum": ["Cache", "Commanche", "Neota", "Rawah"]}
    properties["Soil_Type"] = {"type": "string", "enum": ["C2702", "C2703", "C4758", "C7745", "C8776"]}
    classes = [
        {"class": number, "label": label, "example": EXAMPLE | {"Elevation": 2500 + number}}
        for number, label in enumerate(CLASSES)
    ]
    return {"type": "object", "properties": properties, "required": list(properties), "classes": classes}


def version(number: int, stage: str, aliases: list[str]) -> dict[str, Any]:
    """One entry of GET /models."""
    created = f"2026-11-2{number}T10:06:00Z"
    metrics = {name: value - (3 - number) / 50 for name, value in METRICS.items()}
    return {
        "name": NAME,
        "version": str(number),
        "stage": stage,
        "aliases": aliases,
        "metrics": metrics,
        "created": created,
    }


def good_answers() -> dict[str, tuple[int, Any]]:
    """Call -> status and body of an API where all is well."""
    serving = {
        "name": NAME,
        "version": "3",
        "run_id": "0123456789abcdef",
        "loaded_at": "2026-11-23T10:07:00Z",
    }
    return reports() | {
        "GET /schema": (200, schema()),
        "GET /model": (200, {**serving, "metrics": METRICS}),
        "GET /listar_modelos": (200, {"modelos_disponibles": [NAME]}),
        "GET /models": (
            200,
            [
                version(6, "None", ["challenger"]),
                version(5, "None", []),
                version(4, "None", []),
                version(3, "Production", ["champion"]),
                version(2, "Archived", ["previous"]),
                version(1, "Archived", []),
            ],
        ),
        "POST /predict": (200, prediction("5f0c7d1e-6a51-4a53-9d41-0b8a54d4b5cd")),
        "POST /predict/batch": (200, predictions),
        "POST /feedback": (204, b""),
    }


def prediction(prediction_id: str) -> dict[str, Any]:
    """An answer of POST /predict."""
    return {
        "prediction": 4,
        "label": "Aspen",
        "probabilities": dict(zip(CLASSES, (0.02, 0.08, 0.0, 0.0, 0.87, 0.03, 0.0), strict=True)),
        "model_version": "3",
        "prediction_id": prediction_id,
    }


def predictions(body: dict[str, Any]) -> dict[str, Any]:
    """The answer of POST /predict/batch: each id tells the record's elevation."""
    return {
        "predictions": [prediction(f"at-{record['Elevation']}") for record in body["records"]],
        "model_version": "3",
    }


class StubApi:
    """Serves `answers` (call -> status and body) on 127.0.0.1 and keeps what was asked; use as a context.

    A body given as bytes is sent as it is, one given as a function is what that makes of the body posted. A
    call in `silent` is not answered before the stub ends.
    """

    def __init__(self, port: int = 0) -> None:
        self.answers = good_answers()
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.posted: list[dict[str, Any]] = []
        self._ended = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                posted = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.posted.append(posted)
                self.answer(posted)

            def answer(self, posted: Any = None) -> None:
                call = f"{self.command} {self.path}"
                stub.asked.append(call)
                if call in stub.silent:
                    stub._ended.wait()
                    self.close_connection = True
                    return
                status, body = stub.answers.get(call, (404, {"detail": "Not Found"}))
                body = body(posted) if callable(body) else body
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Give the port back: from now on connections are refused. Harmless when already stopped."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
