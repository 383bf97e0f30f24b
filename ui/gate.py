"""The password of the page, where one is required: nothing else is drawn before it was given."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

import hashlib
import hmac
import math
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from texts import Texts

FREE_TRIES = 5
LONGEST_PAUSE = 60.0
MOST_ADDRESSES = 1_000


class Throttle:
    """Makes guessing slow: after a few failures from an address each further one doubles the pause for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Address -> failures in a row, and when it may try again. The oldest are forgotten first.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def pause(self, address: str) -> float:
        """Seconds until the address may try again; 0 when it may now."""
        with self._lock:
            _, until = self._failures.get(address, (0, 0.0))
            return max(0.0, until - self._clock())

    def note(self, address: str, *, right: bool) -> None:
        """Count a try."""
        with self._lock:
            failures, _ = self._failures.pop(address, (0, 0.0))
            if right:
                return
            failures += 1
            pause = min(LONGEST_PAUSE, 2.0 ** (failures - FREE_TRIES)) if failures >= FREE_TRIES else 0.0
            self._failures[address] = failures, self._clock() + pause
            if len(self._failures) > MOST_ADDRESSES:
                self._failures.popitem(last=False)


@st.cache_resource(show_spinner=False)
def throttle() -> Throttle:
    """The one throttle of this page, for all who open it."""
    return Throttle()


def is_open(t: Texts) -> bool:
    """Whether the reader may see the page; draws the question for the password when not."""
    file = os.environ.get("UI_PASSWORD_FILE")
    if not file or st.session_state.get("admitted"):
        return True
    password = Path(file).read_text(encoding="utf-8").strip()
    if not password:
        raise ValueError(f"{file} is empty: a page that is to be protected has no password")
    draw(t, password)
    return False


def draw(t: Texts, password: str) -> None:
    """The question, and what came of the last try."""
    with st.container(key="gate", width=420):
        st.title(t("gate.title"), anchor=False)
        st.markdown(t("gate.intro"))
        with st.form("gate_form", border=False):
            st.text_input(
                t("gate.password"), type="password", autocomplete="current-password", key="gate_password"
            )
            st.form_submit_button(
                t("gate.open"), type="primary", icon=":material/lock_open:", on_click=judge, args=(password,)
            )
        refused: float | None = st.session_state.pop("gate_refused", None)
        if refused is not None:
            words = t("gate.pause", seconds=math.ceil(refused)) if refused else t("gate.wrong")
            st.error(words, icon=":material/lock:")


def judge(password: str) -> None:
    """On the press of the button: let the reader in, or say that this was not it."""
    who = address()
    given: str = st.session_state["gate_password"]
    st.session_state["gate_password"] = ""
    pause = throttle().pause(who)
    if pause:
        st.session_state["gate_refused"] = pause
        return
    right = is_same(given, password)
    throttle().note(who, right=right)
    if right:
        st.session_state["admitted"] = True
    else:
        st.session_state["gate_refused"] = throttle().pause(who)


def address() -> str:
    """Where the reader comes from; behind the edge (UI_EDGE, its host name), where it says. Behind any other
    proxy, that is the proxy: whoever else sends the header is not believed.
    """
    peer = st.context.ip_address or "this machine"
    if peer in addresses(os.environ.get("UI_EDGE", "")):
        return st.context.headers.get("X-Forwarded-For") or peer
    return peer


def addresses(name: str) -> set[str]:
    """Those that a host name has now; none without a name."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM) if name else []
    except socket.gaierror:
        return set()
    return {str(place[0]) for *_, place in found}


def is_same(given: str, password: str) -> bool:
    """Compare in a time that tells nothing, not even of the length."""
    digests = [hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest() for word in (given, password)]
    return hmac.compare_digest(*digests)
