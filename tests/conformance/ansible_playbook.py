"""Runs the playbook with the modules of community.proxmox, then its inventory."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from report import ADDRESS, CERTIFICATE, PASSWORD, RELEASE, TOKEN_NAME, TOKEN_USER, TOKEN_VALUE, URL, Report

HERE = pathlib.Path(__file__).parent
PROGRAMS = pathlib.Path(sys.executable).parent
# Seconds a program may take.
RUN_MAX = 600


def run(folder: str, program: str, *arguments: str, **more: str) -> str:
    host, port = ADDRESS.rsplit(":", 1)
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_HOME": folder,
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_STDOUT_CALLBACK": "table",
        "LC_ALL": "C.UTF-8",
        "PROXMOX_HOST": host,
        "PROXMOX_PORT": port,
        "PROXMOX_VALIDATE_CERTS": "true",
        "PROXMOX_USER": TOKEN_USER,
        "REQUESTS_CA_BUNDLE": CERTIFICATE,
        **more,
    }
    quiet = subprocess.PIPE if program == "ansible-inventory" else None
    done = subprocess.run(
        [PROGRAMS / program, *arguments], env=environment, stdout=quiet, timeout=RUN_MAX, check=False, text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}")
    return done.stdout or ""


def plain(value: object) -> object:
    """Ansible marks texts that came from outside."""
    if isinstance(value, dict):
        return plain(value["__ansible_unsafe"]) if "__ansible_unsafe" in value else {
            name: plain(inner) for name, inner in value.items()
        }
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def inventory(folder: str, how: str, **credentials: str) -> None:
    report = Report(f"ansible ({how})")
    source = pathlib.Path(folder, "cluster.proxmox.yml")
    source.write_text(json.dumps({
        "plugin": "community.proxmox.proxmox", "url": URL, "user": TOKEN_USER, "validate_certs": True, "want_facts": True,
        "qemu_extended_statuses": True, "keyed_groups": [{"key": "proxmox_tags_parsed", "prefix": "tag"}], **credentials,
    }))
    found = plain(json.loads(run(folder, "ansible-inventory", "-i", str(source), "--list")))
    facts = found["_meta"]["hostvars"]["inventoried"]
    report.equal("inventory: guests", found["proxmox_all_qemu"]["hosts"], ["inventoried"])
    report.equal("inventory: nodes", sorted(found["proxmox_nodes"]["hosts"]), ["pve1", "pve2"])
    report.equal("inventory: running", found["proxmox_all_running"]["hosts"], ["inventoried"])
    report.equal("inventory: pool", found["proxmox_pool_inventory"]["hosts"], ["inventoried"])
    report.equal("inventory: tags", found["tag_web"]["hosts"], ["inventoried"])
    report.equal("inventory: config", (facts["proxmox_cores"], facts["proxmox_memory"]), (2, "2048"))
    report.equal("inventory: disk", facts["proxmox_scsi0"]["size"], "3G")
    report.equal("inventory: status", (facts["proxmox_status"], facts["proxmox_vmid"]), ("running", 150))
    report.equal("inventory: snapshots", facts["proxmox_snapshots"], ["first"])
    report.equal("inventory: agent", facts["proxmox_agent_interfaces"][1]["ip-addresses"][0], "192.0.2.50/24")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "own.iso").write_bytes(b"\0" * 100_000)
        run(folder, "ansible-playbook", "-i", "localhost,", str(HERE / "playbook.yml"), "-e", json.dumps({
            "folder": folder, "release": RELEASE,
        }), PROXMOX_TOKEN_ID=TOKEN_NAME, PROXMOX_TOKEN_SECRET=TOKEN_VALUE)
        inventory(folder, "inventory, token", token_id=TOKEN_NAME, token_secret=TOKEN_VALUE)
        inventory(folder, "inventory, password", password=PASSWORD)


main()
