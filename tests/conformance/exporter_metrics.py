"""What prometheus-pve-exporter shows of a cluster with a running VM under high availability."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks

from report import ADDRESS, CERTIFICATE, PASSWORD, RELEASE, TOKEN_NAME, TOKEN_USER, TOKEN_VALUE, Report

# Seconds the exporter may take to start, a page to come.
START_MAX = 20
PAGE_MAX = 30
VMID = 150
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def prepare() -> None:
    api = ProxmoxAPI(
        ADDRESS, user=TOKEN_USER, token_name=TOKEN_NAME, token_value=TOKEN_VALUE, verify_ssl=CERTIFICATE, timeout=35,
    )
    node = api.nodes("pve1")
    for begin in (
        lambda: node.qemu(9000).clone.post(newid=VMID, name="shown", full=1),
        lambda: node.qemu(VMID).config.post(onboot=1, tags="metered"),
        lambda: node.qemu(VMID).status.start.post(),
    ):
        Tasks.blocking_status(api, begin(), timeout=START_MAX, polling_interval=0.02)
    api.cluster.ha.resources.post(sid=f"vm:{VMID}", state="started")
    api.cluster.backup.post(id="nightly", schedule="daily", vmid=str(VMID), storage="local")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Page:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for name, labels, value in SAMPLE.findall(text):
            labelled = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            self.samples.setdefault(name, []).append((labelled, float(value)))

    def values(self, name: str, **wanted: str) -> list[float]:
        found = self.samples.get(name, [])
        return [value for labels, value in found if wanted.items() <= labels.items()]

    def labels(self, name: str, **wanted: str) -> list[dict[str, str]]:
        found = self.samples.get(name, [])
        return [labels for labels, _ in found if wanted.items() <= labels.items()]


def scrape(port: int, query: str) -> Page:
    url = f"http://127.0.0.1:{port}/pve?target={ADDRESS}&{query}"
    with urllib.request.urlopen(url, timeout=PAGE_MAX) as answer:
        return Page(answer.read().decode())


def of_cluster(report: Report, page: Page) -> None:
    report.equal("pve_up of the nodes", page.values("pve_up", id="node/pve1") + page.values("pve_up", id="node/pve2"), [1, 1])
    report.equal("pve_up of a guest", page.values("pve_up", id=f"qemu/{VMID}"), [1])
    report.equal("pve_up of a template", page.values("pve_up", id="qemu/9000"), [0])
    info = page.labels("pve_guest_info", id=f"qemu/{VMID}")
    report.equal("pve_guest_info", [(one["name"], one["node"], one["tags"]) for one in info], [("shown", "pve1", "metered")])
    report.equal("pve_storage_info", len(page.labels("pve_storage_info", storage="local-lvm")), 2)
    report.equal("pve_storage_shared", page.values("pve_storage_shared", id="storage/pve1/shared"), [1])
    report.equal("pve_ha_state", page.values("pve_ha_state", id=f"qemu/{VMID}", state="started"), [1])
    report.equal("pve_version_info", [one["release"] for one in page.labels("pve_version_info")], [RELEASE])
    report.equal("pve_cluster_info", [one["quorate"] for one in page.labels("pve_cluster_info")], ["1"])
    report.equal("pve_node_info", sorted(one["name"] for one in page.labels("pve_node_info")), ["pve1", "pve2"])
    report.equal("pve_cpu_usage_limit", page.values("pve_cpu_usage_limit", id=f"qemu/{VMID}"), [2])
    report.equal("pve_memory_size_bytes", page.values("pve_memory_size_bytes", id=f"qemu/{VMID}"), [2 << 30])
    for name in ("pve_disk_size_bytes", "pve_uptime_seconds", "pve_cpu_usage_ratio", "pve_network_receive_bytes"):
        found = page.values(name, id=f"qemu/{VMID}") or page.values(f"{name}_total", id=f"qemu/{VMID}")
        report.equal(name, len(found), 1)
    missing = {one["id"] for one in page.labels("pve_not_backed_up_info")}
    report.equal("pve_not_backed_up_info", missing, {"qemu/9000", "qemu/9001", "qemu/9002"})


def of_node(report: Report, page: Page) -> None:
    report.equal("pve_onboot_status", page.values("pve_onboot_status", id=f"qemu/{VMID}"), [1])
    report.equal("pve_subscription_info", len(page.labels("pve_subscription_info")), 1)


def main() -> None:
    prepare()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "pve.yml")
        config.touch(mode=0o600)
        config.write_text(
            f"token:\n  user: {TOKEN_USER}\n  token_name: {TOKEN_NAME}\n  token_value: {TOKEN_VALUE}\n"
            f"  verify_ssl: {CERTIFICATE}\n"
            f"password:\n  user: root@pam\n  password: {PASSWORD}\n  verify_ssl: {CERTIFICATE}\n"
        )
        log = pathlib.Path(folder, "log")
        command = [
            os.path.join(os.path.dirname(sys.executable), "pve_exporter"),
            "--config.file", str(config), "--web.listen-address", f"127.0.0.1:{port}",
        ]
        with log.open("w") as output:
            exporter = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until = time.monotonic() + START_MAX
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if exporter.poll() is not None or time.monotonic() > until:
                        sys.exit(f"the exporter did not start:\n{log.read_text()}")
                    time.sleep(0.05)
            try:
                for module in ("token", "password"):
                    report = Report(f"exporter ({module})")
                    of_cluster(report, scrape(port, f"module={module}&cluster=1&node=0"))
                    both = scrape(port, f"module={module}&cluster=1&node=1")
                    of_cluster(Report(f"exporter ({module}, both)"), both)
                    of_node(report, both)
                    of_node(Report(f"exporter ({module}, node)"), scrape(port, f"module={module}&cluster=0&node=1"))
            except OSError as error:
                sys.exit(f"{error}:\n{log.read_text()}")
        finally:
            exporter.send_signal(signal.SIGTERM)
            exporter.wait(timeout=START_MAX)


main()
