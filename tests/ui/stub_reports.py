"""What the stub says of models, data and state: ten batches have come, six versions are registered."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

NAME = "modelo_covertype_vf"
CLASSES = (
    "Spruce/Fir",
    "Lodgepole Pine",
    "Ponderosa Pine",
    "Cottonwood/Willow",
    "Aspen",
    "Douglas-fir",
    "Krummholz",
)
# Rows of each class among the test rows, and the share of each that version 3 tells right.
ROWS = (4237, 5666, 715, 55, 190, 347, 410)
RIGHT = (0.951, 0.967, 0.942, 0.761, 0.812, 0.858, 0.957)
# Where the rest of a class goes to, mostly.
MISTAKEN_FOR = (1, 0, 5, 2, 1, 2, 0)
SERVICES = ("model-api", "mlflow", "minio", "mysql-data-store", "airflow-scheduler", "data-api")
TASKS = ("ingest", "prepare", "train", "evaluate", "register", "promote")
RANGES = {
    "Elevation": (1859, 3858),
    "Aspect": (0, 360),
    "Slope": (0, 66),
    "Horizontal_Distance_To_Hydrology": (0, 1397),
    "Vertical_Distance_To_Hydrology": (-173, 601),
    "Horizontal_Distance_To_Roadways": (0, 7117),
    "Hillshade_9am": (0, 254),
    "Hillshade_Noon": (0, 254),
    "Hillshade_3pm": (0, 254),
    "Horizontal_Distance_To_Fire_Points": (0, 7173),
}
CATEGORIES = {
    "Wilderness_Area": ("Cache", "Commanche", "Neota", "Rawah"),
    "Soil_Type": ("C2702", "C2703", "C4758", "C7745", "C8776"),
    "Cover_Type": CLASSES,
}
BETTER = (
    "Better: macro-F1 {ours:.4f} against the champion's {theirs:.4f} on the same 4648 rows "
    "(gain {gain:+.4f}, margin 0.0010; in 95% of the bootstrap at least +0.0087)."
)
NOISE = (
    "The gain may be noise: macro-F1 0.8894 against the champion's 0.8880 on the same 9296 rows "
    "(gain +0.0014, margin 0.0010; in 95% of the bootstrap at least -0.0021)."
)
FALLEN = (
    "Better on the whole, but Aspen falls from F1 0.812 to 0.744: macro-F1 0.8921 against the champion's "
    "0.8880 on the same 10458 rows (gain +0.0041, margin 0.0010; in 95% of the bootstrap at least +0.0012)."
)


def reports() -> dict[str, tuple[int, Any]]:
    """Call -> status and body of each of these."""
    now = datetime.now(UTC).replace(microsecond=0)
    answers: dict[str, Any] = {
        "GET /state": state(now),
        "GET /batches": batches(now),
        "GET /quarantine?limit=1000": quarantine(now),
        "GET /promotions?limit=200": promotions(),
    }
    answers |= {f"GET /models/{number}/evaluation": evaluation(number) for number in range(1, 7)}
    answers |= {
        f"GET /batches/distribution?column={name}": distribution(name) for name in (*RANGES, *CATEGORIES)
    }
    return {call: (200, body) for call, body in answers.items()}


def state(now: datetime) -> dict[str, Any]:
    """All is well; the last run but one met no new rows, and one before it failed."""

    def ago(**span: float) -> str:
        return (now - timedelta(**span)).isoformat()

    def tasks(*states: str, detail: str = "") -> list[dict[str, Any]]:
        return [
            {
                "task_id": name,
                "state": state,
                "started_at": ago(minutes=5),
                "ended_at": None if state == "running" else ago(minutes=4),
                "detail": detail if state in {"failed", "skipped"} else "",
            }
            for name, state in zip(TASKS, states, strict=False)
        ]

    def run(number: int, state: str, seconds: int | None, what: list[dict[str, Any]]) -> dict[str, Any]:
        started = now - timedelta(minutes=6 * number)
        return {
            "dag_id": "DAG_p2",
            "run_id": f"scheduled__{started:%Y-%m-%dT%H:%M:%S+00:00}",
            "started_at": started.isoformat(),
            "ended_at": None if seconds is None else (started + timedelta(seconds=seconds)).isoformat(),
            "state": state,
            "tasks": what,
        }

    good = ("success",) * 6
    return {
        "at": now.isoformat(),
        "services": [
            {"name": name, "status": "up", "last_seen": ago(seconds=seconds), "detail": ""}
            for name, seconds in zip(SERVICES, (0, 0, 0, 0, 75, 130), strict=True)
        ],
        "model": {
            "name": NAME,
            "version": "3",
            "run_id": "0123456789abcdef",
            "loaded_at": ago(hours=5, minutes=2),
            "promoted_at": ago(hours=5, minutes=3),
        },
        "predictions": {"total": 12843, "last_hour": 214, "last_day": 3120, "latest": ago(seconds=40)},
        "latency_ms": {"p50": 4.6, "p95": 11.8, "requests": 2210},
        "live_accuracy": [
            {"model_version": 3, "feedback": 48, "right": 44, "accuracy": 44 / 48},
            {"model_version": 2, "feedback": 30, "right": 25, "accuracy": 25 / 30},
        ],
        "runs": [
            run(0, "running", None, tasks("success", "success", "running")),
            run(1, "skipped", 4, tasks("skipped", *("skipped",) * 5, detail="the batch brought no new row")),
            run(2, "success", 97, tasks(*good)),
            run(
                3,
                "failed",
                12,
                tasks("failed", *("unknown",) * 5, detail="SourceUnavailable: no answer from data-api"),
            ),
            run(4, "success", 88, tasks(*good)),
            run(5, "success", 71, tasks(*good)),
        ],
    }


def batches(now: datetime) -> list[dict[str, Any]]:
    """Ten batches, one of them asked for twice, one first refused."""
    lines = []
    for number, batch in enumerate((1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10), start=1):
        refused, again = number == 8, number == 4
        bad = 2904 if refused else (0, 3, 17)[batch % 3]
        lines.append(
            {
                "id": number,
                "group": 1,
                "batch": batch,
                "dag_run_id": f"scheduled__2026-11-23T{number:02d}:00:00+00:00",
                "received_at": (now - timedelta(minutes=6 * (12 - number) + 5)).isoformat(),
                "rows_received": 5810,
                "rows_new": 0 if refused else 5810 - bad - (622 if again else 0),
                "rows_quarantined": bad,
                "refused": refused,
            }
        )
    return lines[::-1]


def quarantine(now: datetime) -> dict[str, Any]:
    """Bad rows of four kinds; more in all than are listed."""
    kinds = (
        ("Slope", "'91'", "text with an integer from 0 to 66"),
        ("Soil_Type", "'C9999'", "one of 40 known values"),
        ("Elevation", "''", "text with an integer from 1859 to 3858"),
    )
    rows = []
    for number in range(60):
        column, value, rule = kinds[(0, 0, 0, 1, 1, 2)[number % 6]]
        reasons = f"{column} = {value}, expected {rule}"
        if number % 15 == 0:
            reasons = f"{reasons}; Cover_Type = '9', expected text with an integer from 0 to 6"
        rows.append(
            {
                "batch_id": 12 - number // 17,
                "group": 1,
                "batch": 10 - number // 17,
                "position": 5700 - 91 * number,
                "received_at": (now - timedelta(minutes=5 + 6 * (number // 17))).isoformat(),
                "received": f"['2596', '51', {value}, '258', '0', '510', '221', '232', '148', …]",
                "reasons": reasons,
            }
        )
    return {"total": 2967, "rows": rows}


def promotions() -> list[dict[str, Any]]:
    """Three promoted, two refused and one that waits for a word."""

    def decision(
        number: int, word: str, ours: float, champion: int | None, theirs: float, reason: str
    ) -> dict[str, Any]:
        return {
            "candidate": number,
            "champion": champion,
            "candidate_metrics": {"test_accuracy": ours + 0.045, "test_f1": ours},
            "champion_metrics": None
            if champion is None
            else {"test_accuracy": theirs + 0.05, "test_f1": theirs},
            "promoted": word == "promoted",
            "decision": word,
            "reason": reason,
            "request": f"scheduled__2026-11-2{number}T10:00:00+00:00",
            "at": f"2026-11-2{number}T10:06:30Z",
        }

    first = "No model was in Production; macro-F1 0.7730 (baseline 0.0937)."
    return [
        decision(
            6,
            "waiting",
            0.9012,
            3,
            0.888,
            "Waits for approval (policy manual). " + BETTER.format(ours=0.9012, theirs=0.888, gain=0.0132),
        ),
        decision(5, "refused", 0.8921, 3, 0.888, FALLEN),
        decision(4, "refused", 0.8894, 3, 0.888, NOISE),
        decision(3, "promoted", 0.888, 2, 0.841, BETTER.format(ours=0.888, theirs=0.841, gain=0.047)),
        decision(2, "promoted", 0.852, 1, 0.744, BETTER.format(ours=0.852, theirs=0.744, gain=0.108)),
        decision(1, "promoted", 0.773, None, 0, first),
    ]


def evaluation(number: int) -> dict[str, Any]:
    """The report of a version: later ones know more batches, and every class a little better."""
    step = (number - 3) / 60
    counts = []
    for true, (rows, right) in enumerate(zip(ROWS, RIGHT, strict=True)):
        line = [0] * len(CLASSES)
        line[true] = round(rows * min(0.995, right + step))
        line[MISTAKEN_FOR[true]] += round((rows - line[true]) * 0.8)
        line[(true + 3) % len(CLASSES)] += rows - sum(line)
        counts.append(line)
    classes = [
        {
            "class": true,
            "label": label,
            "precision": min(1.0, RIGHT[true] + step - 0.02),
            "recall": counts[true][true] / ROWS[true],
            "f1": min(1.0, RIGHT[true] + step - 0.01 - (0.06 if (number, label) == (5, "Aspen") else 0)),
            "rows": ROWS[true],
        }
        for true, label in enumerate(CLASSES)
    ]
    per_batch = [
        {
            "batch": batch,
            "accuracy": 0.93 + step + 0.02 * math.sin(batch),
            "f1": 0.87 + step + 0.035 * math.cos(1.3 * batch),
        }
        for batch in range(1, min(10, number + 4) + 1)
    ]
    return {
        "version": str(number),
        "run_id": f"{number:032x}",
        "metrics": {
            "test_accuracy": 0.9335 + step,
            "test_precision": 0.912 + step,
            "test_recall": 0.866 + step,
            "test_f1": 0.888 + step,
        },
        "per_batch": per_batch,
        "classes": classes,
        "confusion": {"labels": list(CLASSES), "counts": counts},
    }


def distribution(column: str) -> dict[str, Any]:
    """A hill that moves to the right from batch to batch, or categories that change places."""
    if column in RANGES:
        low, high = RANGES[column]
        edges = [low + (high - low) * step / 20 for step in range(21)]
        bins = [f"{round(edges[step])}\N{EN DASH}{round(edges[step + 1])}" for step in range(20)]
    else:
        bins = list(CATEGORIES[column])
    batches = []
    for batch in range(1, 11):
        middle = len(bins) * (0.25 + 0.05 * batch)
        width = len(bins) / 7 + 0.15 * batch
        hill = [math.exp(-(((step + 0.5 - middle) / width) ** 2) / 2) for step in range(len(bins))]
        counts = [round(5810 * value / sum(hill)) for value in hill]
        batches.append({"batch": batch, "rows": sum(counts), "counts": counts})
    return {
        "column": column,
        "kind": "number" if column in RANGES else "category",
        "bins": bins,
        "batches": batches,
    }
