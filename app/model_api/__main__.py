"""Run the API: `python -m model_api`. Several processes share a port, and a folder for their metrics."""

import os
import tempfile

import uvicorn

from model_api.settings import ApiSettings

GRACE_SECONDS = 20  # for requests under way; the container is killed after 30


def main() -> None:
    """Serve until told to stop."""
    workers = ApiSettings().workers
    with tempfile.TemporaryDirectory(prefix="model-api-metrics-") as folder:
        if workers > 1:
            # Read by prometheus_client when it is first imported, in each process.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            "model_api.main:create_app",
            factory=True,
            host="0.0.0.0",  # noqa: S104 - inside a container, whose ports the engine publishes
            port=8989,
            workers=workers,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


if __name__ == "__main__":
    main()
