"""The page is for this machine alone: other names, other sites, files and uploads are refused; errors are one line."""

import asyncio
import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.cli.main import main
from segue.viewer import server
from segue.viewer.server import Guard, bound
from segue.viewer.session import Session


def asked(
    path: str, host: str = "127.0.0.1:7", origin: str | None = None, kind: str = "http"
) -> tuple[int, dict[str, str]]:
    """The status and headers with which a guarded application, that answers anything, answers."""

    async def anything(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode()), *([] if origin is None else [(b"origin", origin.encode())])]
    scope = {"type": kind, "path": path, "headers": headers}
    asyncio.run(Guard(anything, 7)(scope, anything, send))
    given = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
    return sent[0].get("status", sent[0].get("code")), given


def test_only_the_page_itself_is_answered() -> None:
    status, headers = asked("/pictures/3/after")
    assert status == 200 and headers["content-security-policy"].startswith("default-src 'self'")
    assert asked("/", host="localhost:7", origin="http://localhost:7")[0] == 200
    assert asked("/", host="evil.example:7")[0] == 403  # a stranger's name, rebound to this machine
    assert asked("/", host="")[0] == 403
    assert asked("/gradio_api/queue/join", origin="https://evil.example")[0] == 403  # another site's page
    assert asked("/gradio_api/queue/join", origin="null")[0] == 403
    assert asked("/", kind="websocket")[0] == 1008


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api//file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=experiment.yaml",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://example.org",
        "/GRADIO_API/FILE=/etc/passwd",
    ],
)
def test_no_file_goes_out_or_comes_in(path: str) -> None:
    assert asked(path)[0] == 404


def test_a_taken_port_is_named() -> None:
    with bound(0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=f"port {port} cannot be had .*: choose another with --port"):
            bound(port)


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command ends."""
    monkeypatch.setattr("sys.argv", ["segue", "view", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert "segue view needs Gradio: pip install" in refused([str(tmp_path)], monkeypatch, capsys)
    monkeypatch.setattr(server, "find_spec", lambda name: name)
    line = refused([str(tmp_path), "--port", "0"], monkeypatch, capsys)
    assert "not a run folder; give one that `segue train` wrote" in line
    with bound(0) as taken:
        line = refused([str(tmp_path), "--port", str(taken.getsockname()[1])], monkeypatch, capsys)
    assert "choose another with --port" in line


@contextlib.contextmanager
def served(run: Path) -> Iterator[str]:
    """The address of a page that is served in this process."""
    uvicorn = pytest.importorskip("uvicorn", reason="Gradio (the extra view) is not installed")
    pytest.importorskip("gradio", reason="Gradio (the extra view) is not installed")
    listening = bound(0)
    port = listening.getsockname()[1]
    app = server.application(Session(run, "cpu"), port)
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=300) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Gradio's own
def test_a_served_page_gives_out_pictures_and_nothing_else(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with served(run) as address:
        with urllib.request.urlopen(address, timeout=300) as answer:
            page = answer.read().decode()
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "fonts.googleapis" not in page and "cdnjs" not in page
        with urllib.request.urlopen(f"{address}/pictures/2/picture", timeout=300) as answer:
            assert answer.headers["content-type"] == "image/jpeg" and answer.read()[:2] == b"\xff\xd8"
        wanted = [
            f"file={path}" for path in ("/etc/passwd", secret, run / "experiment.yaml", "../../etc/passwd")
        ]
        for path in (*[f"/gradio_api/{one}" for one in wanted], *[f"/{one}" for one in wanted]):
            assert status_of(address + path) in (403, 404), path
        for path in (
            "/pictures/99/picture",
            "/pictures/0/secret",
            "/pictures/..%2f..%2fetc/passwd",
            "/etc/passwd",
        ):
            assert status_of(address + path) in (403, 404, 422), path
        for path in ("/static/../../../etc/passwd", "/assets/..%2f..%2f..%2f..%2f..%2fetc/passwd", "/docs"):
            assert status_of(address + path) in (403, 404), path
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as raw:
            raw.sendall(b"GET /gradio_api/file=/etc/passwd HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            assert b" 403 " in raw.recv(100)
