"""The TLS proxy of docs/production.md: its own nginx block before a real `mlflow server`."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.conftest import free_port
from tests.guides.servers import mlflow_server, process

ROOT = Path(__file__).parents[1]

PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")

NAME: Final = "mlflow.example.com"

PROGRAMS = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("nginx", "openssl")}

MISSING = [name for name, program in PROGRAMS.items() if program is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the TLS proxy needs {', '.join(MISSING)}")

RESOLVE = f"""
import socket
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: resolve(
    "127.0.0.1" if host in ("{NAME}", b"{NAME}") else host, *rest, **named
)
"""
"""Python that finds the host of the page on this machine, as a team's DNS finds theirs."""


class Proxy(NamedTuple):
    port: int
    certificate: Path

    def answer(self, path: str, data: bytes | None = None, method: str | None = None, **headers: str) -> str:
        """What MLflow answers through the proxy: status and body."""
        headers = {"Host": f"{NAME}:{self.port}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", data, headers, method=method)
        try:
            answer = urllib.request.urlopen(
                request, timeout=60, context=ssl.create_default_context(cafile=self.certificate)
            )
        except urllib.error.HTTPError as refused:
            return f"{refused.code} {refused.read().decode()}"
        return f"{answer.status} {answer.read().decode()}"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    port, backend = free_port(), free_port()
    hosts = re.findall(r'(--(?:allowed-hosts|cors-allowed-origins)) "?([^"\s]+)', PAGE.partition("## Artifacts")[0])
    arguments = [text for option in dict(hosts).items() for text in option]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    arguments += ["--artifacts-destination", str(folder / "artifacts")]
    certificate, key = _certificate(folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, port, backend, certificate, key))
    nginx = [str(PROGRAMS["nginx"]), "-p", str(folder), "-c", str(configuration)]
    tested = subprocess.run([*nginx, "-t"], capture_output=True, text=True, timeout=60)
    assert tested.returncode == 0, tested.stderr
    with (
        mlflow_server(folder / "mlflow", backend, arguments),
        process([*nginx, "-g", "daemon off;"], folder, f"http://127.0.0.1:{port}/"),
    ):
        yield Proxy(port, certificate)


def test_mlflow_answers_through_the_proxy_to_the_name_of_the_page_alone(proxy: Proxy):
    assert "Default" in proxy.answer("/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert proxy.answer("/api/2.0/mlflow/experiments/get?experiment_id=0", Host="other.example.com").startswith("403 ")


def test_files_larger_than_nginx_takes_by_default_pass(proxy: Proxy):
    sent = bytes(3 * 1024 * 1024)
    assert proxy.answer("/api/2.0/mlflow-artifacts/artifacts/large.bin", sent, "PUT").startswith("200 ")
    listed = proxy.answer("/api/2.0/mlflow-artifacts/artifacts")
    assert '"large.bin"' in listed and str(len(sent)) in listed


def test_the_ui_of_this_name_may_write_and_pages_of_other_sites_may_not(proxy: Proxy):
    path, body = "/ajax-api/2.0/mlflow/experiments/create", b'{"name": "%s"}'
    assert proxy.answer(path, body % b"own", Origin=f"https://{NAME}").startswith("200 ")
    refused = proxy.answer(path, body % b"foreign", Origin="https://other.example.com")
    assert refused == "403 Cross-origin request blocked"


def test_check_trusts_the_certificate_that_the_page_names_and_no_other(proxy: Proxy):
    trusted = _check(proxy, MLFLOW_TRACKING_SERVER_CERT_PATH=str(proxy.certificate))
    assert trusted.returncode == 0, trusted.stdout + trusted.stderr
    stranger = _check(proxy)
    assert stranger.returncode == 1 and "certificate" in stranger.stdout, stranger.stdout


def _configuration(folder: Path, port: int, backend: int, certificate: Path, key: Path) -> str:
    """The block of the page with the ports and files of this test, in the least that nginx needs around it."""
    found = re.search(r"(?s)```nginx\n(.*?)```", PAGE)
    assert found
    block = found[1]
    for written, here in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl/certs/mlflow.pem": str(certificate),
        "/etc/ssl/private/mlflow.key": str(key),
        "127.0.0.1:5000": f"127.0.0.1:{backend}",
    }.items():
        assert block.count(written) == 1, written
        block = block.replace(written, here)
    user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    main = f"{user}\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    return f"{main}http {{\naccess_log off;\n{folders}\n{block}}}\n"


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "mlflow.pem", folder / "mlflow.key"
    names = f"subjectAltName=DNS:{NAME},DNS:localhost"
    command = [str(PROGRAMS["openssl"]), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def _check(proxy: Proxy, **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"{RESOLVE}\nfrom mcp_server.cli import main\nmain(['check'])"
    variables = {**os.environ, "MLFLOW_TRACKING_URI": f"https://{NAME}:{proxy.port}", "NO_PROXY": NAME, **environment}
    variables["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=proxy.certificate.parent,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
