"""Keeping memory never fails, whatever the C library."""

import ctypes
import sys

from segue import memory


def test_on_this_machine():
    memory.keep_memory()


def test_nothing_happens_elsewhere(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.keep_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.keep_memory()
