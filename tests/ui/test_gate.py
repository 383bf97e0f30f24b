"""A page with a password: nothing of it before, and guessing is slow."""

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest
from stub_api import StubApi
from test_pages import words

import gate
from gate import Throttle, is_same

PASSWORD = "forest-and-trees"

type OpenPage = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("UI_PASSWORD_FILE", str(file))
    return file


def give(app: AppTest, password: str) -> AppTest:
    app.text_input(key="gate_password").set_value(password)
    return app.button[0].click().run()


def test_nothing_is_drawn_or_asked_before_the_password(open_page: OpenPage, stub: StubApi) -> None:
    app = open_page()
    said = words(app)
    assert "asks for a password" in said
    assert "modelo" not in said
    assert not app.number_input
    assert stub.asked == []
    assert app.text_input(key="gate_password").proto.type == app.text_input[0].proto.PASSWORD


def test_the_password_opens_the_page_for_good(open_page: OpenPage) -> None:
    app = give(open_page(), PASSWORD)
    assert len(app.number_input) == 10
    assert not app.text_input
    assert len(app.run().number_input) == 10


@pytest.mark.parametrize("wrong", ["", "forest", f"{PASSWORD} ", PASSWORD.upper(), "ñ", "\N{OLD KEY}"])
def test_another_word_does_not(open_page: OpenPage, stub: StubApi, wrong: str) -> None:
    app = give(open_page(), wrong)
    assert "That is not the password." in words(app)
    assert not app.number_input
    assert stub.asked == []
    # It is not kept, not even to be shown again.
    assert app.text_input(key="gate_password").value == ""


def test_the_question_is_in_the_reader_s_language(open_page: OpenPage) -> None:
    assert "Esta página pide una contraseña" in words(open_page("es"))


def test_after_many_failures_even_the_right_word_has_to_wait(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "address", lambda: "a reader")
    monkeypatch.setattr(gate, "FREE_TRIES", -5)  # so that one failure makes the pause the longest
    app = give(open_page(), "wrong")
    app = give(app, PASSWORD)
    assert "it was not the first time. Try again in" in words(app)
    assert not app.number_input


def test_an_empty_password_file_opens_nothing(open_page: OpenPage, password: Path) -> None:
    password.write_text("\n", encoding="utf-8")
    app = open_page()
    assert app.exception
    assert not app.number_input


def test_without_the_variable_there_is_no_question(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UI_PASSWORD_FILE", "")
    assert len(open_page().number_input) == 10


def test_the_pause_doubles_and_ends_and_is_each_address_s_own() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    pauses = []
    for _ in range(gate.FREE_TRIES + 8):
        throttle.note("a", right=False)
        pauses.append(throttle.pause("a"))
    assert pauses == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert throttle.pause("b") == 0
    now[0] = 60.0
    assert throttle.pause("a") == 0
    throttle.note("a", right=True)
    throttle.note("a", right=False)
    assert throttle.pause("a") == 0


@pytest.mark.parametrize(
    ("edge", "peer", "told", "found"),
    [
        ("", "10.0.0.9", "192.0.2.1", "10.0.0.9"),  # a proxy that nobody named
        ("edge", "10.0.0.9", "192.0.2.1", "192.0.2.1"),
        ("edge", "10.0.0.8", "192.0.2.1", "10.0.0.8"),  # somebody else says so
        ("edge", "10.0.0.9", None, "10.0.0.9"),
        ("away", "10.0.0.9", "192.0.2.1", "10.0.0.9"),
        ("edge", None, "192.0.2.1", "this machine"),
    ],
)
def test_a_reader_s_address_is_told_by_the_edge_alone(
    monkeypatch: pytest.MonkeyPatch, edge: str, peer: str | None, told: str | None, found: str
) -> None:
    def look_up(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name != "edge":
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", 0))]

    headers = {} if told is None else {"X-Forwarded-For": told}
    monkeypatch.setenv("UI_EDGE", edge)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(gate.st, "context", SimpleNamespace(ip_address=peer, headers=headers))
    assert gate.address() == found


def test_addresses_without_end_take_no_memory_without_end() -> None:
    throttle = Throttle()
    for number in range(gate.MOST_ADDRESSES + 50):
        throttle.note(str(number), right=False)
    assert len(throttle._failures) == gate.MOST_ADDRESSES


def test_words_are_compared_whole() -> None:
    assert is_same("a", "a")
    assert not is_same("a", "ab")
    assert not is_same("\udcff", "a")
