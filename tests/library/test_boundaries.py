import ast
from pathlib import Path

import covertype

FRAMEWORKS = {"airflow", "fastapi", "streamlit"}


def imported_by(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_the_library_imports_no_framework_around_it() -> None:
    files = list(Path(str(covertype.__file__)).parent.rglob("*.py"))
    assert len(files) > 10
    assert {
        file.name: imported_by(file) & FRAMEWORKS for file in files if imported_by(file) & FRAMEWORKS
    } == {}
