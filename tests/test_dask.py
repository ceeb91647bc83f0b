"""A real cluster of two processes on this machine: the same report, also where one of them is killed."""

import os
import signal
import socket

import psutil
import pytest

distributed = pytest.importorskip("distributed", reason="jacobians[dask] is not installed")

from jacobians import Geometry, cli, verify  # noqa: E402
from jacobians.verify import cases, verify_network  # noqa: E402
from tests.test_cli import run as command  # noqa: E402

NETWORK = {f"conv{k}": Geometry((4, 14 + k, 15), (6, 4, 3, 3), padding=1) for k in range(8)}


@pytest.fixture(scope="module")
def cluster():
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
    ) as running:
        yield running
    started = {each.pid for each in psutil.Process().children(recursive=True)} - before
    names = {pid: " ".join(psutil.Process(pid).cmdline()) for pid in started}
    # Python's own resource tracker stays until the end.
    assert not [name for name in names.values() if "resource_tracker" not in name]


@pytest.fixture
def executor(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client.get_executor()


def test_a_cluster_of_which_a_process_is_killed_gives_the_same_report(cluster, executor):
    processes, killed = {each.pid for each in cluster.workers.values()}, []

    def kill(done, total):
        if 0 < done < total and not killed:
            killed.append(min(processes))
            os.kill(killed[0], signal.SIGKILL)

    assert verify_network(NETWORK, executor=executor, progress=kill) == verify_network(NETWORK).check()
    assert killed


def test_the_equations_are_checked_by_a_cluster_too(executor):
    # One piece of work, for which one process loads sympy.
    asked = {"geometries": [cases.LECTURE], "identities": ["L24"]}
    assert verify(**asked, executor=executor) == verify(**asked).check()


def test_the_command_takes_the_address_of_a_cluster(capsys, monkeypatch, cluster):
    status, out, err = command(
        capsys, monkeypatch, "verify", "--network", "lenet-5", "--dask", cluster.scheduler_address
    )
    assert (status, err) == (0, "")
    assert "3 geometries hold" in out


@pytest.mark.parametrize("address", ["nowhere", "closed"])
def test_an_address_that_does_not_answer_is_named(capsys, monkeypatch, address):
    monkeypatch.setattr(cli, "ANSWER", 0.5)
    if address == "closed":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
    status, out, err = command(capsys, monkeypatch, "verify", "--network", "lenet-5", "--dask", address)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"jacobians: --dask is {address}, which does not answer: ")


def test_a_cluster_without_workers_is_told_of(capsys, monkeypatch):
    monkeypatch.setattr(cli, "ANSWER", 0.5)
    with distributed.LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=60
    ) as empty:
        status, out, err = command(
            capsys, monkeypatch, "verify", "--network", "lenet-5", "--dask", empty.scheduler_address
        )
    assert (status, out) == (2, "")
    assert "no worker is there" in err
