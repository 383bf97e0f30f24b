"""The disk of a data volume is full, in copies of the data services that have a small one to themselves."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.stack.conftest import Stack, wait_until

MEGABYTES = 600  # what an empty MySQL takes, and some room


class Copy:
    """A container like a service of the stack, with the same image, command and limits, and no network."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._docker = stack.docker
        self.name = name

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script inside."""
        return subprocess.run(
            ["docker", "exec", self.name, "bash", "-c", script],
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def says(self, script: str) -> str:
        """What a script prints."""
        return self.shell(script).stdout.strip()

    def fill(self, folder: str) -> None:
        """Leave no room on the volume."""
        done = self.shell(f"dd if=/dev/zero of={folder}/filling bs=1M; ls {folder}/filling")
        assert "No space left on device" in done.stderr

    def make_room(self, folder: str) -> None:
        assert self.shell(f"rm {folder}/filling").returncode == 0


@contextmanager
def copy_of(stack: Stack, service: str, target: str) -> Iterator[Copy]:
    """A copy of a service, whose data are on a file system in memory with an end."""
    found = stack.inspect()[service]
    config, limits = found["Config"], found["HostConfig"]
    volume = f"{stack.name}-faults-{uuid.uuid4().hex[:8]}"
    user, group = config["User"].split(":")
    options = f"o=size={MEGABYTES}m,uid={user},gid={group},mode=0750"
    stack.docker(
        *("volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs"),
        *("--opt", options, volume),
    )
    mounts = [
        f"--volume={mount['Source']}:{mount['Destination']}:ro"
        for mount in found["Mounts"]
        if mount["Type"] == "bind"
    ]
    try:
        stack.docker(
            *(
                "run",
                "--detach",
                "--name",
                volume,
                "--network",
                "none",
                "--user",
                config["User"],
                "--read-only",
            ),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", str(limits["Memory"] + (MEGABYTES << 20)), "--volume", f"{volume}:{target}"),
            *(f"--tmpfs={path}:{how}" for path, how in (limits["Tmpfs"] or {}).items()),
            *(f"--env={variable}" for variable in config["Env"]),
            *mounts,
            *(f"--entrypoint={word}" for word in (config["Entrypoint"] or [])[:1]),
            found["Image"],
            *[*(config["Entrypoint"] or [])[1:], *(config["Cmd"] or [])],
        )
        yield Copy(stack, volume)
    finally:
        with suppress(subprocess.CalledProcessError):
            stack.docker("rm", "--force", volume)
        stack.docker("volume", "rm", "--force", volume)


MYSQL = 'MYSQL_PWD="$(cat /run/secrets/root-password)" exec mysql --user=root --batch --skip-column-names -e'


def test_mysql_without_room_refuses_and_keeps_what_it_has(stack: Stack) -> None:
    """Promise: a MySQL whose disk is full stores a transaction whole or refuses it, and goes on by itself as
    soon as there is room, with every row that it acknowledged.
    """
    target = "/var/lib/mysql"
    with copy_of(stack, "mysql-data-store", target) as copy:
        wait_until(lambda: copy.says(f"{MYSQL} 'SELECT 1'"), lambda answer: answer == "1", 120)
        table = "CREATE SCHEMA s; CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY, x LONGBLOB)"
        assert copy.shell(f"{MYSQL} '{table}'").returncode == 0
        copy.fill(target)
        acknowledged = 0
        insert = "INSERT INTO s.t (x) SELECT REPEAT(0x61, 1000000) UNION ALL SELECT REPEAT(0x62, 1000000)"
        for _ in range(40):
            # It waits for room where it can: then the client gives up, and nothing was acknowledged.
            done = copy.shell(f"exec timeout 5 bash -c '{MYSQL} \"{insert}\"'".replace("exec mysql", "mysql"))
            if done.returncode != 0:
                break
            acknowledged += 2
        assert done.returncode != 0, "its disk was not full"
        copy.make_room(target)
        count = "SELECT COUNT(*) FROM s.t"
        stored = wait_until(lambda: copy.says(f"{MYSQL} '{count}'"), lambda answer: answer.isdigit(), 120)
        # The one that was not acknowledged may have been stored after all, and then whole.
        assert int(stored) in {acknowledged, acknowledged + 2}
        assert copy.shell(f'{MYSQL} "{insert}"').returncode == 0
        assert copy.says(f"{MYSQL} '{count}'") == str(int(stored) + 2)


MINIO = """set -euo pipefail
export MC_CONFIG_DIR="$(mktemp --directory)"
trap 'rm -rf "$MC_CONFIG_DIR"' EXIT
printf 'admin\\n%s\\n' "$(</run/secrets/root-password)" |
  minio-client alias set --quiet copy http://127.0.0.1:9000 >/dev/null
"""


@pytest.mark.exhaustive
def test_minio_without_room_refuses_and_keeps_what_it_has(stack: Stack) -> None:
    """Promise: an object store whose disk is full refuses an object whole, gives those that it has, and takes
    the next one as soon as there is room.
    """
    target = "/data"
    with copy_of(stack, "minio", target) as copy:
        wait_until(
            lambda: copy.shell(f"{MINIO} minio-client mb copy/bucket").stderr,
            lambda errors: errors == "",
            60,
        )
        put = f"{MINIO} head -c 5000000 /dev/zero | minio-client pipe --quiet copy/bucket/"
        size = f"{MINIO} minio-client cat copy/bucket/first | wc -c"
        assert copy.shell(f"{put}first").returncode == 0
        copy.fill(target)
        refused = copy.shell(f"{put}second")
        assert refused.returncode != 0
        assert copy.says(size) == "5000000"
        listed = copy.shell(f"{MINIO} minio-client ls copy/bucket").stdout
        assert "first" in listed
        assert "second" not in listed
        copy.make_room(target)
        wait_until(lambda: copy.shell(f"{put}second").returncode, lambda code: code == 0, 60)
        assert copy.says(size) == "5000000"


@pytest.mark.exhaustive
def test_postgresql_without_room_comes_back(stack: Stack) -> None:
    """Promise: Airflow's database whose disk was full is there again, with what was committed, when it has
    room, and was not stopped by it.
    """
    target = "/var/lib/postgresql/data"
    psql = "psql --username=airflow --dbname=airflow --tuples-only --no-align --quiet --command"
    with copy_of(stack, "airflow-db", target) as copy:
        wait_until(lambda: copy.says(f"{psql} 'SELECT 1'"), lambda answer: answer == "1", 120)
        assert copy.shell(f"{psql} 'CREATE TABLE t AS SELECT 1 AS x'").returncode == 0
        copy.fill(target)
        insert = "INSERT INTO t SELECT generate_series(1, 1000000)"
        assert copy.shell(f"{psql} '{insert}'").returncode != 0
        copy.make_room(target)
        count = "SELECT COUNT(*) FROM t"
        wait_until(lambda: copy.says(f"{psql} '{count}'"), lambda answer: answer == "1", 120)
        assert copy.shell(f"{psql} '{insert}'").returncode == 0
