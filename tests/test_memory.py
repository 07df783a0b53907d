"""Memory is kept where the C library is glibc; elsewhere nothing happens."""

import ctypes
import sys
from types import SimpleNamespace

from segue import memory


def test_glibc_is_asked_for_three_things(monkeypatch):
    said = {}
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=said.__setitem__))
    memory.keep_memory()
    assert said == {-4: 0, -1: -1, -8: 1}, (
        "nothing mapped, nothing trimmed, one arena: the numbers of malloc.h"
    )


def test_nothing_happens_elsewhere(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.keep_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.keep_memory()
