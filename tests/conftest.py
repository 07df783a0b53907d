"""What tests share: run-time shape checks, one thread per worker, and where the parity fixtures are."""

import os
import signal
import threading
from pathlib import Path

# Before torch is imported, for this process and those that it starts: several processes on two cores are slowed down
# by threads, most of all by threads that wait busily.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Jobs that a script starts with "&" ignore Ctrl-C, and so would what tests interrupt.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

install_import_hook(["segue.ops", "segue.types"], "beartype.beartype")

settings.register_profile(
    "segue", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("segue")

BESIDE = Path(__file__).resolve().parents[2] / "shared"
SHARED = Path(os.environ.get("SEGUE_SHARED", BESIDE))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two workers on two cores: one thread each is fastest, and makes sums reproducible."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The numbers computed by the official implementations (DAFormer, SegFormer, mmcv, kornia 0.5.8)."""
    return Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The small real pair and the ImageNet weights, which lie outside the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real pair is not here: set SEGUE_SHARED to the folder that holds data/")
    return folder
