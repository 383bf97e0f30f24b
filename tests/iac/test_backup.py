"""Backups: a whole set that fits is accepted; each damage or mismatch is refused before anything changes."""

import importlib.util
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import PROJECT

VERSIONS = {"airflow": "3.3.2", "mlflow": "3.17.2", "mysql": "9.7.4", "postgresql": "17.12"}
COLUMNS = {"promotions": ["id", "model"], "raw_batches": ["id"]}
OBJECTS = {"1/run/model": b"a model\n" * 1000, "1/run/empty": b"", "1/run/a name.json": b"{}"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The project's bin/backup for a stack whose servers answer at once."""
    monkeypatch.syspath_prepend(PROJECT / "bin")
    loader = SourceFileLoader("backup", str(PROJECT / "bin/backup"))
    spec = importlib.util.spec_from_loader("backup", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)

    values = tmp_path / "secrets/values"
    values.mkdir(parents=True)
    (values / "airflow-fernet-key").write_text("the key of Airflow\n", encoding="utf-8")
    (tmp_path / "secrets/authority").mkdir()
    (tmp_path / "secrets/authority/key").write_text("the key of the authority\n", encoding="utf-8")
    monkeypatch.setattr(module, "SECRETS", tmp_path / "secrets")
    monkeypatch.setattr(module, "require_keepers", lambda: None)
    monkeypatch.setattr(module, "versions", lambda: dict(VERSIONS))
    monkeypatch.setattr(module, "columns", lambda: dict(COLUMNS))

    @contextmanager
    def locked() -> Iterator[None]:
        yield

    monkeypatch.setattr(module, "locked", locked)
    monkeypatch.setattr(module, "dump", lambda command, file: file.write_text(f"rows of {file.name}"))
    monkeypatch.setattr(module, "shell", bucket(tmp_path / "bucket", module))
    before = os.umask(0o022)
    yield module
    os.umask(before)


def bucket(folder: Path, module: ModuleType) -> Callable[..., list[str]]:
    """What the scripts for MinIO's client do, with files in its place."""
    for key, content in OBJECTS.items():
        (folder / "stack/mlflows3" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "stack/mlflows3" / key).write_bytes(content)
    listing = (
        "cd stack/mlflows3 && find -type f -printf "
        '\'{"type":"file","size":%s,"key":"%P","etag":"of %s bytes"}\\n\' | sort'
    )
    write = "cd stack/mlflows3 && tar --extract --file=- --verbose >>../written"
    scripts = {
        module.MINIO_LIST: listing,
        module.MINIO_READ: "xargs --delimiter='\\n' cat",
        module.MINIO_REMOVE: "xargs --delimiter='\\n' --no-run-if-empty rm",
        module.MINIO_WRITE_SMALL: f"echo several >>stack/written; {write}",
        module.MINIO_WRITE_LARGE: f"echo large >>stack/written; {write}",
    }

    def shell(service: str, script: str, *arguments: str) -> list[str]:
        return ["bash", "-c", f"cd {folder} && {scripts.get(script, 'true')}"]

    return shell


@pytest.fixture
def backup(program: ModuleType, tmp_path: Path) -> Path:
    """A set that was just written."""
    program.write(tmp_path / "sets", 0, None)
    (folder,) = (tmp_path / "sets").iterdir()
    return folder


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def edit(folder: Path, **entries: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder) | entries), encoding="utf-8")


def test_a_set_has_everything_and_is_roots_alone(program: ModuleType, backup: Path) -> None:
    manifest = manifest_of(backup)
    assert set(manifest["files"]) == {"airflow.sql.gz", "datadb.sql.gz", "mlflow.sql.gz", "mlflows3.tar"}
    assert (manifest["versions"], manifest["columns"]) == (VERSIONS, COLUMNS)
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}
    assert backup.stat().st_mode & 0o777 == backup.parent.stat().st_mode & 0o777 == 0o700
    with tarfile.open(backup / "mlflows3.tar") as archive:
        kept = {member.name: archive.extractfile(member).read() for member in archive}
    assert kept == OBJECTS
    assert program.check(backup) == manifest


def test_nothing_of_a_secret_is_in_a_set_that_was_not_asked_for_them(
    program: ModuleType, backup: Path
) -> None:
    assert not [path for path in backup.iterdir() if b"the key of " in path.read_bytes()]


def test_secrets_are_read_again_by_the_documented_command(program: ModuleType, tmp_path: Path) -> None:
    program.write(tmp_path / "sets", 0, b"correct horse\n")
    (folder,) = (tmp_path / "sets").iterdir()
    assert b"the key of " not in (folder / "secrets.tar.enc").read_bytes()
    (tmp_path / "passphrase").write_text("correct horse\n", encoding="utf-8")
    (tmp_path / "again").mkdir()
    (command,) = [
        line.strip()
        for line in (PROJECT / "docs/operations.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("openssl enc -d ")
    ]
    command = command.replace("<set>", str(folder)).replace("<passphrase file>", "passphrase")
    command = command.replace(".stack/covertype/secrets", "again")
    subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "again/values/airflow-fernet-key").read_text() == "the key of Airflow\n"
    assert (tmp_path / "again/authority/key").read_text() == "the key of the authority\n"


def test_an_empty_passphrase_is_refused(program: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(program.Refused, match="the passphrase is empty"):
        program.write(tmp_path / "sets", 0, b"\n")
    assert not (tmp_path / "sets").exists()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (
        lambda backup: (backup / "manifest.json").unlink(),
        "there is no manifest.json in it. Name the folder that make backup wrote.",
    ),
    "a manifest cut short": (
        lambda backup: os.truncate(backup / "manifest.json", 40),
        "manifest.json is damaged. Copy it again.",
    ),
    "a manifest without objects": (
        lambda backup: edit(backup, objects=None),
        "manifest.json is damaged. Copy it again.",
    ),
    "a newer format": (
        lambda backup: edit(backup, format=2),
        "its format is 2 and 1 is read here. Take the version of the project that wrote it.",
    ),
    "a file missing": (
        lambda backup: (backup / "mlflow.sql.gz").unlink(),
        "mlflow.sql.gz is missing. Copy it again.",
    ),
    "a file cut short": (
        lambda backup: os.truncate(backup / "mlflow.sql.gz", 5),
        "mlflow.sql.gz has 5 bytes instead of 21. Copy it again.",
    ),
    "a byte changed": (
        lambda backup: (backup / "datadb.sql.gz").write_text("rows of Datadb.sql.gz"),
        "datadb.sql.gz is damaged: its checksum is another. Copy it again.",
    ),
    "a newer MLflow": (
        lambda backup: edit(backup, versions=VERSIONS | {"mlflow": "3.100"}),
        "it was written with mlflow 3.100 and here is 3.17.2.",
    ),
    "a newer MySQL": (
        lambda backup: edit(backup, versions=VERSIONS | {"mysql": "10.0.1"}),
        "it was written with mysql 10.0.1 and here is 9.7.4.",
    ),
    "another schema": (
        lambda backup: edit(backup, columns=COLUMNS | {"promotions": ["id", "model", "colour"]}),
        "its table promotions has a column colour, which is not known here.",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_set_is_refused_before_anything_changes(
    program: ModuleType,
    backup: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object],
    words: str,
) -> None:
    monkeypatch.setattr(program, "stop_writers", lambda: pytest.fail("the stack was stopped"))
    damage(backup)
    with pytest.raises(program.Refused) as refusal:
        program.restore(backup)
    assert str(refusal.value).startswith(words)


@pytest.mark.parametrize(
    "entries",
    [
        {"versions": VERSIONS | {"airflow": "3.2.9", "mysql": "9.7.99", "postgresql": "17.1 (Debian)"}},
        {"columns": {"promotions": ["id"], "another_table": ["id"]}},
        {"stack": "another"},
    ],
    ids=["older, or a newer repair", "older tables, and one of a user", "another stack"],
)
def test_a_set_that_fits_is_accepted(program: ModuleType, backup: Path, entries: dict) -> None:
    edit(backup, **entries)
    program.check(backup)


def test_a_set_that_could_not_be_written_leaves_nothing(
    program: ModuleType, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> None:
        raise program.Refused("the bucket is away")

    monkeypatch.setattr(program, "dump_bucket", fail)
    with pytest.raises(program.Refused):
        program.write(backup.parent, 1, None)
    assert list(backup.parent.iterdir()) == [backup]


def test_the_newest_sets_stay(program: ModuleType, tmp_path: Path) -> None:
    names = ["20260101T000000Z", "20260102T000000Z", "20260103T000000Z"]
    for name in (*names, "of mine", ".20260104T000000Z.partial"):
        (tmp_path / "sets" / name).mkdir(parents=True)
    assert program.prune(tmp_path / "sets", 0) == []
    assert [path.name for path in program.prune(tmp_path / "sets", 2)] == names[:1]
    left = {path.name for path in (tmp_path / "sets").iterdir()}
    assert left == {*names[1:], "of mine", ".20260104T000000Z.partial"}


def test_the_bucket_gets_what_differs_and_loses_what_is_too_much(
    program: ModuleType, backup: Path, tmp_path: Path
) -> None:
    there = tmp_path / "bucket/stack/mlflows3"
    (there / "1/run/a name.json").write_text("{...}")
    (there / "1/run/more").write_text("more")
    program.load_bucket(backup / "mlflows3.tar", manifest_of(backup)["objects"])
    found = {
        path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()
    }
    assert found == OBJECTS
    assert (there.parent / "written").read_text() == "several\n1/run/a name.json\n"


def test_small_objects_go_in_portions_and_a_large_one_as_a_stream(
    program: ModuleType, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SMALL", 2)
    monkeypatch.setattr(program, "AT_ONCE", 1)
    there = tmp_path / "bucket/stack/mlflows3"
    for key in OBJECTS:
        (there / key).write_bytes(b"another content")
    program.load_bucket(backup / "mlflows3.tar", manifest_of(backup)["objects"])
    assert (there.parent / "written").read_text().splitlines() == [
        *("several", "1/run/empty"),
        *("several", "1/run/a name.json"),
        *("large", "1/run/model"),
    ]
    assert {key: (there / key).read_bytes() for key in OBJECTS} == OBJECTS


def test_a_bucket_that_gives_less_or_more_than_it_says_is_refused(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = program.objects()
    for size, words in ((7_999, "more than it has"), (8_001, "less than it has")):
        known["1/run/model"]["size"] = size
        monkeypatch.setattr(program, "objects", lambda: known)
        with pytest.raises(program.Refused, match=words):
            program.dump_bucket(tmp_path / "archive.tar")


def test_a_command_that_fails_is_told_with_its_words(program: ModuleType) -> None:
    with (
        pytest.raises(program.Refused, match="bash -c … failed: no such table"),
        program.streaming(
            ["bash", "-c", "\necho no such table >&2; exit 3"], stdout=subprocess.PIPE
        ) as process,
    ):
        process.stdout.read()


def locks(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Let MySQL answer what is said; `locked` is the program's own again."""
    loader = SourceFileLoader("backup_again", str(PROJECT / "bin/backup"))
    spec = importlib.util.spec_from_loader("backup_again", loader)
    again = importlib.util.module_from_spec(spec)
    loader.exec_module(again)
    said = "; ".join(f"read -r; printf '{answer}\\n'" for answer in answers)
    monkeypatch.setattr(again, "shell", lambda *arguments: ["bash", "-c", f"{said}; cat >/dev/null"])
    with again.locked():
        pass


def test_the_locks_must_be_had_and_kept(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    locks(program, monkeypatch, "1\\t1", "1\\t1")
    with pytest.raises(Exception, match="a run of the pipeline held its lock"):
        locks(program, monkeypatch, "1\\t0")
    with pytest.raises(Exception, match="MySQL lost the lock meanwhile"):
        locks(program, monkeypatch, "1\\t1", "1\\tNULL")
