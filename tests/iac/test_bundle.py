"""The offline bundle: whole and fitting it is accepted, and each damage or mismatch is refused in words."""

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import PROJECT

SETTINGS = ("STACK_NAME", "DEBIAN_IMAGE", "GOLANG_IMAGE", "MYSQL_IMAGE", "POSTGRES_IMAGE", "BUNDLE")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project, as far as a bundle looks at it, in an empty environment."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    for name in ("bin/bundle", "bin/checked.py", "bin/bootstrap", "bin/environment", ".env.example"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    for name in ("app/main.py", "requirements/control.txt", "terraform/stack/images.tf"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(f"{name} as it was\n", encoding="utf-8")
    return folder


@pytest.fixture
def program(project: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The project's bin/bundle, with tiny files in place of what it fetches."""
    monkeypatch.syspath_prepend(project / "bin")
    loader = SourceFileLoader("bundle", str(project / "bin/bundle"))
    spec = importlib.util.spec_from_loader("bundle", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)

    def fetch(name: str) -> Callable[[Path], None]:
        def tiny(folder: Path) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name, encoding="utf-8")

        return tiny

    monkeypatch.setattr(module, "save_images", lambda images, archive: archive.write_text(" ".join(images)))
    monkeypatch.setattr(module, "copy_terraform", fetch("terraform"))
    monkeypatch.setattr(module, "download_wheels", fetch("sample.whl"))
    monkeypatch.setattr(module, "download_packages", fetch("sample.deb"))
    return module


@pytest.fixture
def bundle(project: Path, program: ModuleType) -> Path:
    folder = project / "build/bundle/covertype"
    program.write(folder, ["covertype-ui:1", "mysql:9.7"])
    return folder


def check(project: Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["python3", "bin/bundle", "check", str(folder)],
        cwd=project,
        env={**os.environ, **settings},
        text=True,
        capture_output=True,
        check=False,
    )


def edit(manifest: Path, **entries: object) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | entries), encoding="utf-8")


def edit_target(bundle: Path, **entries: str) -> None:
    manifest = bundle / "manifest.json"
    edit(manifest, made_for=json.loads(manifest.read_text())["made_for"] | entries)


def test_a_whole_bundle_that_fits_is_accepted(project: Path, bundle: Path) -> None:
    done = check(project, bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["images"] == ["covertype-ui:1", "mysql:9.7"]
    assert set(manifest["files"]) == {
        "images.tar.gz",
        "packages/sample.deb",
        "terraform",
        "wheels/sample.whl",
    }


def test_it_fits_wherever_project_and_bundle_lie(project: Path, bundle: Path, tmp_path: Path) -> None:
    elsewhere = project.rename(tmp_path / "elsewhere")
    folder = (elsewhere / "build/bundle/covertype").rename(tmp_path / "medium")
    assert check(elsewhere, folder).returncode == 0


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (
        lambda bundle: (bundle / "manifest.json").unlink(),
        "there is no manifest.json in it. Name the folder that make bundle wrote.",
    ),
    "a manifest cut short": (
        lambda bundle: os.truncate(bundle / "manifest.json", 40),
        "manifest.json is damaged. Copy it again.",
    ),
    "a manifest of another shape": (
        lambda bundle: edit(bundle / "manifest.json", files=["images.tar.gz"]),
        "manifest.json is damaged. Copy it again.",
    ),
    "another format": (
        lambda bundle: edit(bundle / "manifest.json", format=2),
        "its format is 2 and 1 is read here. Write it again: make bundle.",
    ),
    "a file missing": (
        lambda bundle: (bundle / "terraform").unlink(),
        "terraform is missing. Copy it again.",
    ),
    "a file too many": (
        lambda bundle: (bundle / "wheels/other.whl").write_text("other"),
        "wheels/other.whl does not belong to it. Copy it again.",
    ),
    "a file cut short": (
        lambda bundle: os.truncate(bundle / "images.tar.gz", 5),
        "images.tar.gz has 5 bytes instead of 24. Copy it again.",
    ),
    "a byte changed": (
        lambda bundle: (bundle / "packages/sample.deb").write_text("sample.deB"),
        "packages/sample.deb is damaged: its checksum is another. Copy it again.",
    ),
    "a link": (
        lambda bundle: (bundle / "more").symlink_to("/etc/passwd"),
        "more is no plain file. Copy it again.",
    ),
    "another host": (
        lambda bundle: edit_target(bundle, host="example 1"),
        "its packages are for example 1 and this host is ",
    ),
    "another Python": (
        lambda bundle: edit_target(bundle, python="3.1"),
        "its wheels are for Python 3.1 and here python3 is ",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_bundle_is_refused(
    project: Path, bundle: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(bundle)
    done = check(project, bundle)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The bundle {bundle} cannot be used: {words}")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("STACK_NAME", "it is for the stack covertype, this one is other,"),
        ("MYSQL_IMAGE", "it was written with MYSQL_IMAGE=mysql:9.7 and here that is other."),
    ],
)
def test_another_setting_is_refused(project: Path, bundle: Path, setting: str, words: str) -> None:
    done = check(project, bundle, **{setting: "other"})
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("name", ["app/main.py", "requirements/control.txt", "terraform/stack/images.tf"])
def test_another_version_of_the_project_is_refused(project: Path, bundle: Path, name: str) -> None:
    (project / name).write_text("changed\n", encoding="utf-8")
    done = check(project, bundle)
    assert done.returncode == 1
    assert "it was written from other files of the project than those here." in done.stderr


def test_a_bundle_that_could_not_be_written_leaves_the_last_one(
    project: Path, bundle: Path, program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise program.Refused("no network")

    monkeypatch.setattr(program, "download_wheels", fail)
    with pytest.raises(program.Refused):
        program.write(bundle, ["covertype-ui:2"])
    assert check(project, bundle).returncode == 0


def test_the_bootstrap_refuses_it_before_anything_is_made(project: Path, bundle: Path) -> None:
    (bundle / "wheels/sample.whl").unlink()
    done = subprocess.run(
        ["bin/bootstrap", ".venv", "requirements/control.txt"],
        cwd=project,
        env={**os.environ, "BUNDLE": "build/bundle/covertype"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("cannot be used: wheels/sample.whl is missing. Copy it again.\n")
    assert not (project / ".venv").exists()
