"""What holds for everything that the root modules make: no engine, and no list of containers by hand.

`terraform test` applies each whole root module to a mock (terraform/*/tests/whole.tftest.hcl) and writes
the state that comes of it; what is asserted here walks through all its resources.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import MODULES, PROJECT, resources

# Who needs which conversation, and nobody else is on it. Networks marked * have no way out.
CONVERSATIONS = {
    "airflow": {"airflow-api-server", "airflow-dag-processor", "airflow-scheduler"},
    "airflow-db*": {
        "airflow-api-server",
        "airflow-dag-processor",
        "airflow-db",
        "airflow-migrate",
        "airflow-scheduler",
    },
    "artifacts": {"minio", "minio-bucket", "mlflow"},
    "data*": {
        "airflow-scheduler",
        "mysql-data-store",
        "mysql-data-store-model-api",
        "mysql-data-store-schema",
    },
    "mlflow-db*": {"mlflow", "mlflow-migrate", "mysql-mlflow", "mysql-mlflow-schema"},
    "recording*": {"mysql-data-store"},  # and Ansible's model-api
    "serving": set(),  # Ansible's model-api and ui
    "source": {"airflow-scheduler", "data-api"},
    "tracking": {"airflow-scheduler", "mlflow"},  # and Ansible's model-api
}
DATABASES = {"airflow-db", "mysql-data-store", "mysql-mlflow"}

PUBLISHED = {
    ("airflow-api-server", 8080, 8080),
    ("data-api", 8000, 80),
    ("minio", 9000, 9000),
    ("minio", 9001, 9001),
    ("mlflow", 5000, 5000),
}
PUBLISHED_BY_EDGE = {(port, port) for port in (5000, 8080, 8503, 8989, 9000, 9001)}


class Roots:
    """What both root modules make in one run of whole.tftest.hcl."""

    def __init__(self, states: list[dict]) -> None:
        self.made = [resource for state in states for resource in resources(state["root_module"])]
        outputs = [{name: output["value"] for name, output in state["outputs"].items()} for state in states]
        self.services = {name for output in outputs for name in output["services"]}
        self.jobs = {name for output in outputs for name in output["jobs"]}
        self.urls = [url for output in outputs for url in output["urls"].values()]
        self.outputs = outputs

    def of_type(self, kind: str) -> list[dict]:
        return [resource["values"] for resource in self.made if resource["type"] == kind]

    @property
    def containers(self) -> dict[str, dict]:
        """Attributes of each container by its service's noun."""
        return {values["hostname"]: values for values in self.of_type("docker_container")}

    @property
    def members(self) -> dict[str, set[str]]:
        """Containers on each network."""
        found: dict[str, set[str]] = {
            values["name"].removeprefix("covertype-"): set() for values in self.of_type("docker_network")
        }
        for name, values in self.containers.items():
            for network in values["networks_advanced"]:
                found.setdefault(network["name"].removeprefix("covertype-"), set()).add(name)
        return found

    @property
    def published(self) -> list[tuple[str, int, int, str]]:
        return [
            (name, port["internal"], port["external"], port["ip"])
            for name, values in self.containers.items()
            for port in values["ports"]
        ]


@pytest.fixture(scope="module")
def runs(terraform_test: Callable[[str], list[dict]]) -> dict[str, Roots]:
    """The runs of the root modules, by name; TLS is of the stack alone."""
    found: dict[str, list[dict]] = {"as_it_is": [], "otherwise": [], "with_tls": []}
    for module in ("external", "stack"):
        for message in terraform_test(module):
            if message["type"] == "test_state" and message["@testfile"] == "tests/whole.tftest.hcl":
                found[message["@testrun"]].append(message["test_state"])
    return {name: Roots(states) for name, states in found.items()}


@pytest.fixture(scope="module")
def stack(runs: dict[str, Roots]) -> Roots:
    """The root modules with their defaults."""
    return runs["as_it_is"]


@pytest.mark.parametrize("module", MODULES)
def test_terraform_keeps_its_promises(terraform_test: Callable[[str], list[dict]], module: str) -> None:
    """The module's own tests: its policy, and each validation against its bad case."""
    messages = terraform_test(module)
    found = [message["diagnostic"] for message in messages if message["type"] == "diagnostic"]
    assert [f"{finding['summary']}: {finding['detail']}" for finding in found] == []
    (summary,) = [message["test_summary"] for message in messages if message["type"] == "test_summary"]
    assert summary["status"] == "pass"
    assert summary["passed"] > 0


def test_every_container_is_a_service_or_a_job(stack: Roots) -> None:
    assert stack.services.isdisjoint(stack.jobs)
    assert stack.services | stack.jobs == set(stack.containers)
    assert len(stack.containers) == len(stack.of_type("docker_container"))


def test_every_container_follows_the_module_of_the_policy(stack: Roots) -> None:
    outside = [
        resource["address"]
        for resource in stack.made
        if resource["type"] == "docker_container"
        and not re.fullmatch(r"module\.\w+(\[.*\])?\.docker_container\.this", resource["address"])
    ]
    assert outside == []


def test_services_have_a_healthcheck_and_come_back_and_jobs_end(stack: Roots) -> None:
    for name, container in stack.containers.items():
        job = name in stack.jobs
        assert len(container["healthcheck"]) == (0 if job else 1), name
        assert container["restart"] == ("no" if job else "unless-stopped"), name
        assert container["must_run"] is not job, name
        assert container["attach"] is job, name
        for healthcheck in container["healthcheck"]:
            assert healthcheck["test"][0] == "CMD", f"{name}: its healthcheck runs a shell"


def test_every_container_has_a_limit_and_a_grace(stack: Roots) -> None:
    for name, container in stack.containers.items():
        assert 0 < container["memory"] == container["memory_swap"], name
        assert container["destroy_grace_seconds"] == container["stop_timeout"] >= 10, name
        assert container["log_opts"] == {"max-file": "3", "max-size": "10m"}, name


def test_no_container_has_more_rights_than_it_needs(stack: Roots) -> None:
    for name, container in stack.containers.items():
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", container["user"]), name
        assert container["read_only"] is True, name
        assert container["security_opts"] == ["no-new-privileges:true"], name
        (capabilities,) = container["capabilities"]
        assert capabilities["drop"] == ["ALL"], name
        assert not capabilities["add"], name
        # What would open the host or another container to it.
        for attribute in (
            "cgroupns_mode",
            "devices",
            "gpus",
            "group_add",
            "host",
            "network_mode",
            "pid_mode",
            "privileged",
            "sysctls",
            "upload",
            "userns_mode",
            "volumes",
        ):
            assert not container[attribute], f"{name}: {attribute}"


def test_a_container_writes_to_named_volumes_and_memory_alone(stack: Roots, state_dir: Path) -> None:
    volumes = {values["name"] for values in stack.of_type("docker_volume")}
    mounted = set()
    for name, container in stack.containers.items():
        for mount in container["mounts"]:
            if mount["type"] == "volume":
                mounted.add(mount["source"])
            else:
                assert mount["type"] == "bind", name
                assert mount["read_only"] is True, f"{name} may write to {mount['source']} of the host"
                assert Path(mount["source"]).is_relative_to(state_dir), (
                    f"{name} sees {mount['source']} of the host"
                )
        for path, options in container["tmpfs"].items():
            assert {"nosuid", "nodev"} <= set(options.split(",")), f"{name}: {path}"
    # Ansible mounts that of model-api.
    assert mounted | {"covertype-model-api"} == volumes, (
        "a volume that no container mounts, or one that Terraform does not own"
    )


def test_everything_carries_the_label_of_the_stack(stack: Roots) -> None:
    for resource in stack.made:
        values = resource["values"]
        if resource["type"] == "docker_image":
            labels = [build["label"] for build in values["build"]] or [
                {"stack": "covertype"}
            ]  # images from elsewhere are not ours
            assert labels == [{"stack": "covertype"}], resource["address"]
        else:
            labels = {label["label"]: label["value"] for label in values["labels"]}
            job = {"role": "job"} if values.get("hostname") in stack.jobs else {}
            assert labels == {"stack": "covertype", **job}, resource["address"]


def test_images_have_a_version(stack: Roots) -> None:
    for values in stack.of_type("docker_image"):
        assert re.fullmatch(
            r"covertype-[a-z-]+:[0-9a-f]{16}" if values["build"] else r"[a-z]+:[0-9.]+", values["name"]
        )


def test_a_container_is_on_the_networks_that_it_needs_and_on_no_other(stack: Roots) -> None:
    assert stack.members == {network.rstrip("*"): members for network, members in CONVERSATIONS.items()}
    internal = {
        values["name"].removeprefix("covertype-")
        for values in stack.of_type("docker_network")
        if values["internal"]
    }
    assert internal == {network.rstrip("*") for network in CONVERSATIONS if network.endswith("*")}


def test_the_databases_have_no_way_out_and_publish_nothing(stack: Roots) -> None:
    ways_out = {
        values["name"].removeprefix("covertype-")
        for values in stack.of_type("docker_network")
        if not values["internal"]
    }
    for database in DATABASES:
        assert not {network for network in ways_out if database in stack.members[network]}, database
        assert not stack.containers[database]["ports"], database


def test_the_model_api_writes_into_two_tables_and_reads_the_rest(stack: Roots) -> None:
    environment = dict(line.split("=", 1) for line in stack.containers["mysql-data-store-model-api"]["env"])
    grants = dict(grant.split(" ON ")[::-1] for grant in environment["GRANTS"].split("; "))
    assert grants.pop("*") == "SELECT"
    assert set(grants) == {"predictions", "feedback"}
    for table, privileges in grants.items():
        assert not set(privileges.split(", ")) & {"ALL", "ALTER", "DELETE", "DROP", "GRANT"}, table


def test_a_source_elsewhere_needs_no_network_of_ours(runs: dict[str, Roots]) -> None:
    here, elsewhere = runs["as_it_is"], runs["otherwise"]
    assert "COVERTYPE_SOURCE_URL=http://data-api:8000" in here.containers["airflow-scheduler"]["env"]
    assert (
        "COVERTYPE_SOURCE_URL=https://source.example.org/covertype"
        in elsewhere.containers["airflow-scheduler"]["env"]
    )
    assert elsewhere.members == {**here.members, "source": {"data-api"}}


@pytest.mark.parametrize(("run", "address"), [("as_it_is", "127.0.0.1"), ("otherwise", "0.0.0.0")])
def test_only_declared_ports_are_published_and_on_one_address(
    runs: dict[str, Roots], run: str, address: str
) -> None:
    assert sorted(runs[run].published) == sorted((*port, address) for port in PUBLISHED)
    assert not any(values["publish_all_ports"] for values in runs[run].containers.values())
    assert all(f"//{address}:" in url for url in runs[run].urls)


def test_with_tls_the_edge_alone_publishes(runs: dict[str, Roots]) -> None:
    tls = runs["with_tls"]
    assert sorted(tls.published) == sorted(("edge", *port, "127.0.0.1") for port in PUBLISHED_BY_EDGE)
    assert {url.split(":")[0] for url in tls.urls} == {"https"}
    assert tls.containers["edge"]["networks_advanced"]
    edge, others = tls.containers["edge"], set(tls.containers) - {"edge"}
    assert edge["user"] == "10008:10008"
    assert edge["read_only"] is True
    assert edge["capabilities"][0]["drop"] == ["ALL"]
    # Its key and certificate, and nothing of the authority that signed it.
    assert {mount["target"] for mount in edge["mounts"]} == {"/run/secrets/certificate", "/run/secrets/key"}
    # It listens where no other container is.
    names = {network["name"]: set(network["aliases"]) for network in edge["networks_advanced"]}
    assert {network for network, aliases in names.items() if "published" in aliases} == {"covertype-access"}
    assert tls.members["access"] == {"edge"}
    assert others == set(runs["as_it_is"].containers) - {"data-api"}


def test_the_host_s_ports_lead_to_the_network_of_the_edge(runs: dict[str, Roots]) -> None:
    """To the first one in alphabetical order that has a way out: so the engine chooses."""
    closed = {values["name"] for values in runs["with_tls"].of_type("docker_network") if values["internal"]}
    networks = {
        network["name"] for network in runs["with_tls"].containers["edge"]["networks_advanced"]
    } - closed
    assert min(networks) == "covertype-access"


def asks_for_a_login(roots: Roots) -> bool:
    """Whether MLflow does, and the tasks know how they sign in: both or neither."""
    server, tasks = roots.containers["mlflow"], roots.containers["airflow-scheduler"]
    found = {
        "MLFLOW_AUTH_CONFIG_PATH=/run/secrets/login.ini" in server["env"],
        "/run/secrets/login.ini" in targets(server),
        "/tmp/.mlflow" in targets(tasks),
    }
    assert len(found) == 1
    return found.pop()


def targets(container: dict) -> set[str]:
    return {mount["target"] for mount in container["mounts"]}


def test_mlflow_asks_for_a_login_but_on_loopback(runs: dict[str, Roots]) -> None:
    assert {name: asks_for_a_login(roots) for name, roots in runs.items()} == {
        "as_it_is": False,
        "otherwise": True,  # on another address than loopback
        "with_tls": True,
    }


def test_without_tls_nothing_is_of_it(stack: Roots) -> None:
    assert "edge" not in stack.containers
    assert "access" not in stack.members
    assert "https" not in {url.split(":")[0] for url in stack.urls}
    for name, container in stack.containers.items():
        for variable in ("FORWARDED_ALLOW_IPS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"):
            assert not [entry for entry in container["env"] if entry.startswith(variable)], name


def test_no_secret_stands_in_the_state(runs: dict[str, Roots], secret_files: dict) -> None:
    states = [runs["as_it_is"], runs["with_tls"]]  # MLflow's login is of the second one
    state = json.dumps([[roots.made, roots.outputs] for roots in states])
    mounted = {
        mount["source"].split("/secrets/")[-1]
        for roots in states
        for values in roots.containers.values()
        for mount in values["mounts"]
    }
    for item in secret_files["secret_files_mounted"]:
        value = f"value-of-{item['file'].replace('/', '-')}"
        assert value not in state, item["file"]
        if not item["file"].startswith(("model-api/", "ui/")):  # Ansible's containers mount them
            paths = {item["file"], str(Path(item["file"]).parent)}
            assert paths & mounted, f"{item['file']} is made and nobody reads it"


def test_a_secret_is_seen_by_its_own_service_alone(stack: Roots) -> None:
    for name, container in stack.containers.items():
        folders = {
            mount["source"].split("/secrets/")[1].split("/")[0]
            for mount in container["mounts"]
            if "/secrets/" in mount["source"]
        }
        assert len(folders) <= 1, name
        assert all(name == folder or name.startswith(f"{folder}-") for folder in folders), (
            f"{name} reads secrets of {folders}"
        )


@pytest.mark.parametrize("module", MODULES)
def test_each_variable_and_output_says_what_it_is(module: str) -> None:
    for kind, keys in (("variable", ("description", "type")), ("output", ("description", "value"))):
        text = (PROJECT / "terraform" / module / f"{kind}s.tf").read_text(encoding="utf-8")
        blocks = re.findall(rf'^{kind} "(\w+)" \{{\n(.*?)^\}}', text, re.MULTILINE | re.DOTALL)
        assert blocks
        assert [name for name, _ in blocks] == sorted(name for name, _ in blocks), (
            f"{kind}s.tf is alphabetical"
        )
        for name, body in blocks:
            assert all(re.search(rf"^  {key} +=", body, re.MULTILINE) for key in keys), name
