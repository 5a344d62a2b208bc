"""The same calls as calls.rs, made with proxmoxer: COUNT, FIRST and GUESTS are the arguments."""

import os
import sys

from proxmoxer import ProxmoxAPI


def main() -> None:
    count, first, guests = (int(argument) for argument in sys.argv[1:4])
    identity, secret = os.environ["MEASURED_TOKEN"].split("=", 1)
    user, name = identity.split("!", 1)
    proxmox = ProxmoxAPI(
        os.environ["MEASURED_URL"].removeprefix("https://"),
        user=user,
        token_name=name,
        token_value=secret,
        verify_ssl=os.environ["MEASURED_CERTIFICATE"],
        timeout=35,
    )
    listed = memory = stopped = 0
    for call in range(count):
        guest = proxmox.nodes("pve1").qemu(first + call // 4 % guests)
        match call % 4:
            case 0:
                for resource in proxmox.cluster.resources.get(type="vm"):
                    listed += 1
                    memory += resource["maxmem"]
            case 1:
                stopped += guest.status.current.get()["status"] == "stopped"
            case 2:
                memory += int(guest.config.get()["memory"])
            case _:
                guest.config.put(description=f"call {call}")
    print(listed, memory, stopped)


main()
