"""TLS and logins at the edge: `make up` with EDGE_TLS=true on the stack as it runs, which then stays so."""

import re
import ssl

import httpx
import pytest

from .conftest import Stack
from .test_end_to_end import SERVICES
from .test_security import PROBE, inside, value

# What each answers with to somebody who has not signed in, by the name of its port.
OPEN = {
    "ui": ("/_stcore/health", 200),
    "model-api": ("/ready", 200),
    "airflow": ("/api/v2/version", 200),
    "mlflow": ("/api/2.0/mlflow/experiments/search?max_results=1", 401),
    "minio": ("/minio/health/ready", 200),
    "minio-console": ("/", 200),
}


@pytest.fixture(scope="module", autouse=True)
def edge(stack: Stack) -> None:
    """Turn TLS on."""
    stack.variables["EDGE_TLS"] = "true"
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"https://127.0.0.1:{stack.variables['UI_PORT']}" in done.stdout


def test_a_second_up_would_change_nothing_and_all_checks_hold(stack: Stack) -> None:
    plan = stack.make("plan")
    assert plan.returncode == 0, plan.stdout[-3000:]
    verify = stack.make("verify")
    assert verify.returncode == 0, verify.stdout[-3000:]
    assert "https://" in stack.make("status").stdout


def test_the_edge_alone_publishes(stack: Stack) -> None:
    publishers = {
        name for name, record in stack.inspect().items() if any(record["HostConfig"]["PortBindings"] or {})
    }
    assert publishers == {"edge", "data-api"}  # the source is the world outside


@pytest.mark.parametrize("service", sorted(OPEN))
def test_a_service_answers_over_https_and_not_without(stack: Stack, service: str) -> None:
    path, status = OPEN[service]
    url = stack.url(service) + path
    answer = httpx.get(url, verify=stack.trust, timeout=30)
    assert answer.status_code == status
    assert answer.headers["strict-transport-security"].startswith("max-age=")

    plain = httpx.get(url.replace("https:", "http:"), timeout=30)
    assert (plain.status_code, plain.headers["location"]) == (301, url)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, timeout=30)  # whoever does not trust the lab's authority
    old = ssl.create_default_context(cafile=stack.secrets.parent / "ca.crt")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=old, timeout=30)


def test_a_service_does_not_reach_another_one_through_the_edge(stack: Stack) -> None:
    """By none of its addresses. The way is there, as the edge reaches the services by it."""
    networks = stack.inspect()["edge"]["NetworkSettings"]["Networks"]
    targets = [
        f"{name}:{port} {network['IPAddress']} {port}"
        for name, network in networks.items()
        for port in (5000, 8080, 9000)
    ]
    for service in ("ui", "mlflow", "airflow-scheduler"):
        assert inside(stack, service, PROBE, "\n".join(targets) + "\n").stdout == "", service
    services = ["ui 8503", "model-api 8989", "airflow-api-server 8080", "mlflow 5000", "minio 9001"]
    reached = inside(stack, "edge", PROBE, "".join(f"{one[:2]} {one}\n" for one in services)).stdout.split()
    assert sorted(reached) == sorted(one[:2] for one in services)


def test_the_edge_holds_its_own_key_and_none_of_the_authority(stack: Stack) -> None:
    assert inside(stack, "edge", "ls /run/secrets").stdout.split() == ["certificate", "key"]
    authority = stack.secrets / "authority" / "key"
    assert authority.stat().st_mode & 0o777 == 0o600
    mounted = {mount["Source"] for record in stack.inspect().values() for mount in record["Mounts"]}
    assert not [source for source in mounted if str(authority).startswith(source)]


def mlflow(stack: Stack, user: str, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"{stack.url('mlflow')}/api/2.0/mlflow",
        auth=(user, value(stack, secret)),
        verify=stack.trust,
        timeout=30,
    )


def test_mlflow_lets_in_its_users_and_the_api_only_reads(stack: Stack) -> None:
    found = {"filter": "name = 'modelo_covertype_vf'"}
    with mlflow(stack, "admin", "mlflow-airflow") as wrong:
        assert wrong.get("/model-versions/search", params=found).status_code == 401
    with mlflow(stack, "model-api", "mlflow-model-api") as reader:
        versions = reader.get("/model-versions/search", params=found).raise_for_status().json()
        version = versions["model_versions"][0]
        assert reader.get("/runs/get", params={"run_id": version["run_id"]}).status_code == 200
        forbidden = {
            "/registered-models/alias": {"alias": "champion", "version": version["version"]},
            "/model-versions/transition-stage": {"version": version["version"], "stage": "Archived"},
            "/model-versions/set-tag": {"version": version["version"], "key": "a", "value": "b"},
            "/registered-models/set-tag": {"key": "a", "value": "b"},
        }
        for path, body in forbidden.items():
            answer = reader.post(path, json={"name": "modelo_covertype_vf", **body})
            assert answer.status_code == 403, path
        metric = {"run_id": version["run_id"], "key": "test_f1", "value": 1, "timestamp": 0}
        assert reader.post("/runs/log-metric", json=metric).status_code == 403
    with mlflow(stack, "admin", "mlflow-admin") as admin:
        assert admin.get("/users/get", params={"username": "airflow"}).status_code == 200


def test_no_password_of_mlflow_is_to_be_seen(stack: Stack) -> None:
    passwords = [value(stack, f"mlflow-{user}") for user in ("admin", "airflow", "model-api")]
    for service in ("mlflow", "airflow-scheduler", "model-api"):
        seen = inside(stack, service, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null").stdout
        text = seen + stack.docker("inspect", f"{stack.name}-{service}")
        assert not [password for password in passwords if password in text], service
    shown = stack.make("credentials").stdout
    assert re.search(rf"MLflow +admin +{re.escape(passwords[0])}", shown)


def test_a_run_ends_well_and_the_api_predicts(stack: Stack) -> None:
    run = stack.run_dag()
    assert run["state"] == "success", run
    api = stack.url("model-api")
    example = httpx.get(f"{api}/schema", verify=stack.trust, timeout=30).json()["examples"][0]
    answer = httpx.post(f"{api}/predict", json=example, verify=stack.trust, timeout=30)
    assert answer.raise_for_status().json()["prediction"] in range(7)
    # The registry is asked with the API's own user.
    listed = httpx.get(f"{api}/models", verify=stack.trust, timeout=30).raise_for_status().json()
    assert [one for one in listed if one["stage"] == "Production"]


def test_a_page_is_drawn_over_its_websocket(stack: Stack, browser_page: object) -> None:
    context = browser_page.context.browser.new_context(
        ignore_https_errors=True
    )  # its own list of authorities
    page = context.new_page()
    page.goto(f"{stack.url('ui')}/?lang=en")
    page.get_by_role("button", name="Predict", exact=True).wait_for(timeout=60_000)
    context.close()


def test_who_tries_passwords_is_slowed_down(stack: Stack) -> None:
    """In Airflow's form and for its tokens; last, as the tests sign in from the same address."""
    base, wrong = stack.url("airflow"), {"username": "airflow", "password": "wrong"}
    with httpx.Client(verify=stack.trust, timeout=30) as client:
        tokens = [client.post(f"{base}/auth/token", json=wrong).status_code for _ in range(30)]
    assert tokens[0] == 401
    assert tokens[-1] == 429


def test_every_service_is_healthy(stack: Stack) -> None:
    containers = stack.inspect()
    for name in SERVICES | {"edge"}:
        assert containers[name]["State"]["Health"]["Status"] == "healthy", name
