"""The end of the stack: nothing of it is left."""

from .conftest import Stack


def test_destroy_asks_first(stack: Stack) -> None:
    done = stack.make("destroy", YES="")
    assert done.returncode != 0
    assert "YES=1" in done.stdout
    assert stack.labelled("container")


def require_nothing_left(stack: Stack) -> None:
    """Of what carries the stack's label, and of its secrets."""
    left = {kind: stack.labelled(kind) for kind in ("container", "volume", "network", "image")}
    assert left == {"container": [], "volume": [], "network": [], "image": []}
    assert not stack.secrets.exists()


def test_destroy_leaves_nothing(stack: Stack) -> None:
    done = stack.make("destroy", YES="1")
    assert done.returncode == 0, done.stdout[-3000:]
    require_nothing_left(stack)
