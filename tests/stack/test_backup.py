"""The drill: back up while the stack works, destroy it, bring it up, restore: the same rows, runs and models.

The destroy in it is the proof of `make destroy` too; the `make up` from nothing that follows is undone by the
restore.
"""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import PROJECT, Stack, wait_until
from .test_bundle import image_ids, raise_from
from .test_destroy import require_nothing_left
from .test_drift import minio

COUNTED = ("raw_batches", "raw_observations", "quarantine", "promotions", "feedback")
SETS = PROJECT / "build/backup"
PASSPHRASE = "correct horse battery staple"


def memory(stack: Stack, moment: str) -> dict[str, Any]:
    """What a stack remembers of what was before a moment, in all that it has."""
    mlflow = f"{stack.url('mlflow')}/api/2.0/mlflow"
    asked = {"experiment_name": "covertype_training_experiment"}
    found = httpx.get(f"{mlflow}/experiments/get-by-name", params=asked, timeout=60).raise_for_status()
    search = {"experiment_ids": [found.json()["experiment"]["experiment_id"]], "max_results": 1000}
    runs = httpx.post(f"{mlflow}/runs/search", json=search, timeout=60).raise_for_status().json()["runs"]
    with stack.airflow() as airflow:
        listed = airflow.get("/dags/DAG_p2/dagRuns?limit=100").raise_for_status().json()["dag_runs"]
    return {
        "rows": {table: stack.mysql(f"SELECT COUNT(*) FROM {table}") for table in COUNTED},
        "observations": stack.mysql("SELECT BIT_XOR(CRC32(HEX(row_key))) FROM raw_observations"),
        "decisions": stack.mysql(
            "SELECT candidate, champion, promoted, decision, at FROM promotions ORDER BY id"
        ),
        "predictions": stack.mysql(
            f"SELECT COUNT(*), BIT_XOR(CRC32(prediction_id)) FROM predictions WHERE at <= '{moment}'"
        ),
        "runs": {
            run["info"]["run_id"]: {metric["key"]: str(metric["value"]) for metric in run["data"]["metrics"]}
            for run in runs
        },
        "versions": httpx.get(f"{stack.url('model-api')}/models", timeout=60).raise_for_status().json(),
        "artifacts": artifacts(stack),
        "dag runs": sorted((run["dag_run_id"], run["state"]) for run in listed),
    }


def artifacts(stack: Stack) -> list[str]:
    """Name and size of each object that the bucket shows."""
    listed = minio(stack, "ls", "--recursive", "--json", "stack/mlflows3").splitlines()
    return sorted(f"{entry['key']} {entry['size']}" for entry in map(json.loads, listed))


def answer(stack: Stack) -> dict[str, Any]:
    """What the model API predicts for its example, and who answers."""
    api = stack.url("model-api")
    example = httpx.get(f"{api}/schema", timeout=30).raise_for_status().json()["examples"][0]
    body = httpx.post(f"{api}/predict", json=example, timeout=60).raise_for_status().json()
    model = httpx.get(f"{api}/model", timeout=30).raise_for_status().json()
    return body | {"run": model["run_id"]}


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "passphrase"
    file.write_text(PASSPHRASE, encoding="utf-8")
    return file


def sets(stack: Stack) -> list[Path]:
    return sorted((SETS / stack.name).glob("*Z"))


def test_a_backup_is_written_while_the_stack_works(stack: Stack, passphrase: Path) -> None:
    """With a lock that a step of a run held first: the backup waits for it. The oldest set goes."""
    shutil.rmtree(SETS / stack.name, ignore_errors=True)
    (SETS / stack.name / "20200101T000000Z").mkdir(parents=True)
    shell = 'MYSQL_PWD="$(cat /run/secrets/root-password)" exec mysql --user=root --execute="$1"'
    hold = "SELECT GET_LOCK('datadb.learning', 0), SLEEP(600)"
    step = subprocess.Popen(
        ["docker", "exec", f"{stack.name}-mysql-data-store", "sh", "-c", shell, "sh", hold],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ((holder,),) = wait_until(
        lambda: stack.mysql("SELECT IS_USED_LOCK('datadb.learning')"), lambda held: held != [["NULL"]], 30
    )
    with ThreadPoolExecutor() as pool:
        asked = {"SECRETS": "1", "PASSPHRASE_FILE": str(passphrase), "BACKUP_KEEP": "1"}
        backing = pool.submit(stack.make, "backup", **asked)
        try:
            wait_until(
                lambda: stack.mysql("SHOW PROCESSLIST"),
                lambda shown: any("User lock" in line for line in shown) or backing.done(),
                120,
            )
            assert not backing.done(), "the backup did not wait for the step that was under way"
            assert [list(partial.iterdir()) for partial in (SETS / stack.name).glob(".*.partial")] == [[]]
        finally:
            stack.mysql(f"KILL {holder}")
            step.wait(timeout=60)
        done = backing.result()
    assert done.returncode == 0, done.stdout[-3000:]
    (backup,) = sets(stack)
    assert backup.name != "20200101T000000Z"
    for path in (backup, *backup.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    logs = "".join(log.read_text() for log in (PROJECT / ".stack/logs").glob(f"{stack.name}-*-backup.log"))
    assert PASSPHRASE not in logs + done.stdout


def test_secrets_that_are_not_encrypted_are_not_written(stack: Stack) -> None:
    done = stack.make("backup", SECRETS="1")
    assert done.returncode != 0
    assert "SECRETS=1 needs PASSPHRASE_FILE=<file>" in done.stdout
    assert len(sets(stack)) == 1


def test_a_damaged_set_is_refused_and_nothing_is_stopped(stack: Stack) -> None:
    (backup,) = sets(stack)
    started = {name: record["State"]["StartedAt"] for name, record in stack.inspect().items()}
    file = backup / "datadb.sql.gz"
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    done = stack.make("restore", FROM=str(backup), YES="1")
    file.write_bytes(whole)
    assert done.returncode != 0
    assert "datadb.sql.gz is damaged: its checksum is another" in done.stdout
    assert {name: record["State"]["StartedAt"] for name, record in stack.inspect().items()} == started


def test_restore_asks_first(stack: Stack) -> None:
    (backup,) = sets(stack)
    done = stack.make("restore", FROM=str(backup), YES="")
    assert done.returncode != 0
    assert "YES=1" in done.stdout


def test_the_hosts_cron_has_a_command_that_writes_a_set(stack: Stack, tmp_path: Path) -> None:
    """Promise: with BACKUP_SCHEDULE the host writes sets by itself, and no more when it is empty. That cron
    comes to it, `make faults` waits for.
    """
    entry = Path("/etc/cron.d") / f"{stack.name}-backup"
    schedule = (
        "bin/playbook",
        "configure_services",
        "--start-at-task",
        "Require a schedule that cron understands",
    )
    done = stack.run(*schedule, BACKUP_SCHEDULE="0 2 1 1 *", TO=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:]
    assert subprocess.run(["pgrep", "--exact", "cron"], capture_output=True, check=False).returncode == 0
    *_, line = entry.read_text(encoding="utf-8").splitlines()
    *slots, user, command = line.split(maxsplit=6)
    assert (" ".join(slots), user) == ("0 2 1 1 *", "root")
    # As cron runs it: with nothing of this shell's environment.
    variables = {"HOME": "/root", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run(["/bin/bash", "-c", command], cwd="/root", env=variables, check=True, timeout=300)
    (made,) = tmp_path.glob("*Z")
    assert (made / "manifest.json").is_file()

    assert stack.run(*schedule).returncode == 0
    assert not entry.exists()


def test_a_stack_that_was_destroyed_is_restored(stack: Stack, bundle: Path) -> None:
    """Its passwords and its Fernet key are new ones by then, and its images come from the bundle."""
    (old,) = sets(stack)
    shutil.rmtree(old)
    answered = answer(stack)
    last = answered.pop("prediction_id")  # by way of the journal, in the order in which they were made
    wait_until(
        lambda: stack.mysql(f"SELECT COUNT(*) FROM predictions WHERE prediction_id = '{last}'"),
        lambda found: found == [["1"]],
        60,
    )
    ((moment,),) = stack.mysql("SELECT UTC_TIMESTAMP(6)")
    remembered = memory(stack, moment)
    assert remembered["versions"]
    done = stack.make("backup")
    assert done.returncode == 0, done.stdout[-3000:]
    (backup,) = sets(stack)

    images = image_ids(stack)
    destroyed = stack.make("destroy", YES="1")
    assert destroyed.returncode == 0, destroyed.stdout[-3000:]
    require_nothing_left(stack)
    raise_from(stack, bundle)
    assert image_ids(stack) == images
    assert stack.mysql("SELECT COUNT(*) FROM raw_batches") == [["1"]]  # of a stack that begins anew

    restored = stack.make("restore", FROM=str(backup), YES="1")
    assert restored.returncode == 0, restored.stdout[-5000:]
    again = memory(stack, moment)
    assert set(remembered.pop("dag runs")) <= set(again.pop("dag runs"))  # the schedule may have begun one
    assert again == remembered
    same = answer(stack)
    assert same.pop("prediction_id") != last
    assert same == answered
    # Whether the bundle is named or not makes no difference by now.
    plan = stack.make("plan")
    assert plan.returncode == 0, plan.stdout[-3000:]


def test_what_was_restored_learns_on(stack: Stack) -> None:
    before = int(stack.mysql("SELECT COUNT(*) FROM raw_batches")[0][0])
    run = stack.run_dag()
    assert run["state"] == "success", run
    assert int(stack.mysql("SELECT COUNT(*) FROM raw_batches")[0][0]) == before + 1


def test_the_secrets_of_a_set_need_its_passphrase(stack: Stack, passphrase: Path, tmp_path: Path) -> None:
    done = stack.make("backup", SECRETS="1", PASSPHRASE_FILE=str(passphrase), BACKUP_KEEP="1")
    assert done.returncode == 0, done.stdout[-3000:]
    (backup,) = sets(stack)
    options = ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000"]
    opened = [*options, "-in", str(backup / "secrets.tar.enc"), "-out", str(tmp_path / "tar")]
    assert subprocess.run([*opened, "-pass", f"file:{passphrase}"], check=False).returncode == 0
    subprocess.run(["tar", "-x", "-f", tmp_path / "tar", "-C", tmp_path], check=True)
    values = {file.name: file.read_bytes() for file in (stack.secrets / "values").iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "values").iterdir()} == values
    shutil.rmtree(SETS / stack.name)
