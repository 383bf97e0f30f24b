"""A stack that others open: TLS at the edge, MLflow's login, and callers who are told apart behind it.

One `make up` turns TLS on, with what test_variables tries, and one turns TLS alone off again.
"""

import json
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from . import page as tools
from .conftest import Stack, wait_until
from .page import opened, press, words
from .test_end_to_end import SERVICES
from .test_security import PROBE, inside, value
from .test_variables import ASKED

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
def edge(stack: Stack) -> Iterator[None]:
    """TLS turned on; the last test turns it off."""
    stack.variables |= ASKED | {"EDGE_TLS": "true"}
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"https://127.0.0.1:{stack.variables['UI_PORT']}" in done.stdout
    yield
    stack.variables.pop("EDGE_TLS", None)


def publishers(stack: Stack) -> set[str]:
    """Who publishes a port; not the source, which is the world outside."""
    found = {name for name, record in stack.inspect().items() if record["HostConfig"]["PortBindings"]}
    return found - {"data-api"}


def test_all_checks_hold(stack: Stack) -> None:
    verify = stack.make("verify")
    assert verify.returncode == 0, verify.stdout[-3000:]
    containers = stack.inspect()
    for name in SERVICES | {"edge"}:
        assert containers[name]["State"]["Health"]["Status"] == "healthy", name


def test_the_edge_alone_publishes(stack: Stack) -> None:
    assert publishers(stack) == {"edge"}


@pytest.mark.parametrize("service", sorted(OPEN))
def test_a_service_answers_over_https_and_not_without(stack: Stack, service: str) -> None:
    path, status = OPEN[service]
    url = stack.url(service) + path
    answer = httpx.get(url, verify=stack.trust, timeout=30)
    assert answer.status_code == status
    assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]

    plain = httpx.get(url.replace("https:", "http:"), timeout=30)
    assert (plain.status_code, plain.headers["location"]) == (301, url)
    assert "strict-transport-security" not in plain.headers
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, timeout=30)  # whoever does not trust the lab's authority
    old = ssl.create_default_context(cafile=stack.secrets.parent / "ca.crt")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=old, timeout=30)


def test_a_service_does_not_reach_another_one_through_the_edge(stack: Stack) -> None:
    """By none of its addresses. The way is there, as the edge reaches the services by it."""
    networks = stack.inspect()["edge"]["NetworkSettings"]["Networks"]
    targets = "".join(
        f"{name}:{port} {network['IPAddress']} {port}\n"
        for name, network in networks.items()
        for port in (5000, 8080, 9000)
    )
    with ThreadPoolExecutor() as pool:
        within = ("ui", "mlflow", "airflow-scheduler")
        reached = list(pool.map(lambda one: inside(stack, one, PROBE, targets).stdout, within))
    assert reached == ["", "", ""]
    services = ["ui 8503", "model-api 8989", "airflow-api-server 8080", "mlflow 5000", "minio 9001"]
    met = inside(stack, "edge", PROBE, "".join(f"{one[:2]} {one}\n" for one in services)).stdout.split()
    assert sorted(met) == sorted(one[:2] for one in services)


def test_the_edge_holds_its_own_key_and_none_of_the_authority(stack: Stack) -> None:
    assert inside(stack, "edge", "ls /run/secrets").stdout.split() == ["certificate", "key"]
    authority = stack.secrets / "authority" / "key"
    assert authority.stat().st_mode & 0o777 == 0o600
    mounted = {mount["Source"] for record in stack.inspect().values() for mount in record["Mounts"]}
    assert not [source for source in mounted if str(authority).startswith(source)]


def test_cookies_are_for_https_alone(stack: Stack) -> None:
    """Of MinIO's console too, which does not know how it is asked."""
    login = {"accessKey": "admin", "secretKey": value(stack, "minio-admin")}
    url = f"{stack.url('minio-console')}/api/v1/login"
    answer = httpx.post(url, json=login, verify=stack.trust, timeout=30)
    assert answer.status_code == 204
    assert [cookie.secure for cookie in answer.cookies.jar] == [True]


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
    shown = [line.split() for line in stack.make("credentials").stdout.splitlines()]
    assert ["MLflow", "admin", passwords[0], stack.url("mlflow")] in shown


def ask(stack: Stack, path: str) -> Any:
    """What the model API says."""
    url, headers = f"{stack.url('model-api')}{path}", {"X-API-Key": value(stack, "model-api-key")}
    answer = httpx.get(url, headers=headers, verify=stack.trust, timeout=60)
    return answer.raise_for_status().json()


def serving(stack: Stack) -> tuple[str, str]:
    """The version in Production, and the one that the API serves."""
    in_production = [one["version"] for one in ask(stack, "/models") if one["stage"] == "Production"]
    return str(in_production[0]), str(ask(stack, "/model")["version"])


def test_the_stack_learns_and_promotes_and_the_api_follows(stack: Stack) -> None:
    """A run that registers a version, and one that makes another one Production; the API reads them all."""
    (before, _), known = serving(stack), len(ask(stack, "/models"))
    run = stack.run_dag(force=True, fraction=0.1)
    assert run["state"] == "success", run
    versions = ask(stack, "/models")
    assert len(versions) == known + 1
    report = ask(stack, f"/models/{versions[0]['version']}/evaluation")
    assert report["per_batch"]
    assert len(report["confusion"]["counts"]) == 7

    if serving(stack)[0] == before:  # the new version, of a part of the rows, is no better
        assert stack.run_dag(action="rollback")["state"] == "success"
    wait_until(lambda: serving(stack), lambda now: now[0] == now[1] != before, 60)
    state = {service["name"]: service["status"] for service in ask(stack, "/state")["services"]}
    assert {state[name] for name in ("mlflow", "minio", "mysql-data-store")} == {"up"}, state


@pytest.fixture
def trusting(browser: Any) -> Any:
    """A browser that takes any certificate: it has its own list of authorities. httpx checks ours."""
    new = browser.new_context
    browser.new_context = lambda **options: new(ignore_https_errors=True, **options)
    return browser


def test_a_page_is_drawn_over_its_websocket_and_leads_to_mlflow(stack: Stack, trusting: Any) -> None:
    said = words("en")
    with opened(trusting, tools.address(stack, "models"), "en") as page:
        page.get_by_label(said["gate"]["password"], exact=True).fill(value(stack, "ui-password"))
        press(page, said["gate"]["open"])
        expect(page.get_by_role("heading", name=said["models"]["title"], exact=True)).to_be_visible()
        link = page.get_by_role("link", name=said["models"]["mlflow"]).get_attribute("href")
    assert link.startswith(stack.url("mlflow"))

    # MLflow's pages ask it by more than questions, and it looks at where they are from.
    login = {"username": "admin", "password": value(stack, "mlflow-admin")}
    context = trusting.new_context(http_credentials=login)
    page = context.new_page()
    page.goto(link)
    page.get_by_text("champion").first.wait_for(timeout=60_000)
    context.close()


# Calls a URL so often as a caller with the key, by another address each time if one believed the header, and
# says which answers came.
CALLS = """
import sys, httpx
key, url, count, body = sys.stdin.read().strip(), sys.argv[1], int(sys.argv[2]), sys.argv[3] or None
with httpx.Client(verify=False, timeout=30) as client:
    for number in range(count):
        headers = {"X-API-Key": key, "X-Forwarded-For": f"192.0.2.{number % 250}"}
        headers["Content-Type"] = "application/json"
        print(client.request("POST" if body else "GET", url, headers=headers, content=body).status_code)
"""


def calls(stack: Stack, network: str, url: str, count: int, body: str = "") -> list[str]:
    """The answers that another container on a network gets; its certificate is looked at above."""
    image = stack.inspect()["ui"]["Config"]["Image"]
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "--interactive", f"--label=stack={stack.name}"),
            *(f"--network={stack.name}-{network}", "--entrypoint=python", image),
            *("-c", CALLS, url, str(count), body),
        ],
        input=value(stack, "model-api-key"),
        text=True,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return done.stdout.split()


def test_a_caller_s_limit_is_its_own_and_what_it_says_of_itself_is_not_believed(stack: Stack) -> None:
    """One caller through the edge and one beside it use theirs up, whoever they say they are."""
    often = 1_300  # 600 a minute of each of two processes
    with ThreadPoolExecutor() as pool:
        outside = pool.submit(calls, stack, "access", "https://published:8989/model", often)
        beside = pool.submit(calls, stack, "serving", "http://model-api:8989/model", often)
    for answers in (outside.result(), beside.result()):
        assert answers[0] == "200"
        assert set(answers) == {"200", "429"}
    assert ask(stack, "/model")["version"]  # another caller through the edge
    # By the same means the page knows its readers apart.
    address = stack.inspect()["edge"]["NetworkSettings"]["Networks"][f"{stack.name}-serving"]["IPAddress"]
    assert inside(stack, "ui", "getent hosts edge").stdout.split()[0] == address


def test_who_tries_passwords_is_slowed_down(stack: Stack) -> None:
    """For Airflow's tokens too, which it does not limit itself; others sign in meanwhile."""
    wrong = json.dumps({"username": "airflow", "password": "wrong"})
    tries = calls(stack, "access", "https://published:8080/auth/token", 30, wrong)
    assert (tries[0], tries[-1]) == ("401", "429")
    stack.airflow().close()


def test_turned_off_the_ports_are_as_they_were(stack: Stack) -> None:
    del stack.variables["EDGE_TLS"]
    done = stack.make("up")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "edge" not in stack.inspect()
    assert publishers(stack) == {"airflow-api-server", "minio", "mlflow", "model-api", "ui"}
    for service, (path, _) in OPEN.items():
        answer = httpx.get(stack.url(service) + path, timeout=30)
        assert answer.status_code == 200, service
        # MinIO says it in any case, and browsers take it over HTTPS alone.
        assert service == "minio" or "strict-transport-security" not in answer.headers
