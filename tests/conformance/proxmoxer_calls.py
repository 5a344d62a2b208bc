"""The life of a VM and what is around it, as a program with proxmoxer does it."""

import io
import time
from urllib.parse import quote

from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException
from proxmoxer.tools import Tasks

from report import ADDRESS, CERTIFICATE, PASSWORD, RELEASE, TOKEN_NAME, TOKEN_USER, TOKEN_VALUE, Report

# Seconds a task or the guest agent may take.
WAIT_MAX = 30
WAIT_PAUSE = 0.02
GIB = 1 << 30
GUEST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5bXJ0c2V5c2ltdWxhdG9yY29uZm9ybWFuY2Ux dev+box@example.com"


def connect(**credentials: str) -> ProxmoxAPI:
    return ProxmoxAPI(ADDRESS, verify_ssl=CERTIFICATE, timeout=35, **credentials)


def refusal(call) -> tuple[int, str]:
    """Status and reason of a call that must be refused."""
    try:
        answer = call()
    except ResourceException as refused:
        return refused.status_code, refused.content
    return 200, repr(answer)


def quoted(text: str) -> str:
    """Proxmox wants keys percent-encoded within the encoding of the form."""
    return quote(text, safe="")


class Program:
    """All calls, by one way of logging in."""

    def __init__(self, how: str, api: ProxmoxAPI, first: int) -> None:
        self.report = Report(f"proxmoxer ({how})")
        self.api, self.first = api, first
        self.node = api.nodes("pve1")

    def task(self, call: str, upid: str, exit_status: str = "OK") -> None:
        ended = Tasks.blocking_status(self.api, upid, timeout=WAIT_MAX, polling_interval=WAIT_PAUSE)
        self.report.equal(call, ended and ended["exitstatus"], exit_status)

    def equal(self, call: str, found: object, wanted: object) -> None:
        self.report.equal(call, found, wanted)

    def holds(self, call: str, found: object, rule, wanted: str) -> None:
        self.report.holds(call, found, rule, wanted)

    def lists(self) -> None:
        api, node = self.api, self.node
        self.equal("version", api.version.get()["release"], RELEASE)
        self.equal("nodes", sorted(one["node"] for one in api.nodes.get()), ["pve1", "pve2"])
        self.equal("node status", node.status.get()["cpuinfo"]["cpus"], 32)
        kinds = {one["type"] for one in api.cluster.resources.get()}
        self.holds("resources", kinds, lambda found: {"qemu", "node", "storage"} <= found, "qemu, node and storage")
        templates = {one["vmid"] for one in api.cluster.resources.get(type="vm") if one["template"]}
        self.equal("resources type=vm", templates, {9000, 9001, 9002})
        self.holds("cluster status", api.cluster.status.get(), lambda found: found[0]["quorate"] == 1, "quorate")
        self.equal("storages", {one["storage"] for one in api.storage.get()}, {"local", "local-lvm", "shared"})
        self.equal("storages of a node", {one["active"] for one in node.storage.get(enabled=1)}, {1})
        self.holds(
            "storage content", node.storage("local").content.get(content="iso"),
            lambda found: found and all(one["volid"].startswith("local:iso/") for one in found), "ISO images",
        )
        self.equal("networks", [one["iface"] for one in node.network.get(type="bridge")], ["vmbr0", "vmbr1"])
        self.equal("containers", node.lxc.get(), [])

    def life(self) -> None:
        api, node, first = self.api, self.node, self.first
        template = node.qemu(9000)
        self.equal("next id", int(api.cluster.nextid.get()) not in {9000, 9001, 9002}, True)
        self.task("clone full", template.clone.post(newid=first, name="web", full=1, storage="local-lvm"))
        self.task("clone linked", template.clone.post(newid=first + 1, name="linked", full=0))
        self.equal("clone twice", refusal(lambda: template.clone.post(newid=first)), (
            500, f"unable to create VM {first}: config file already exists",
        ))
        vm = node.qemu(first)
        vm.config.put(
            cores=4, memory=4096, ciuser="dev", cipassword="secret42", ipconfig0="ip=10.0.0.5/24,gw=10.0.0.1",
            sshkeys=quoted(GUEST_KEY), tags="b;a", description="two\nlines",
        )
        config = vm.config.get()
        self.equal("config numbers and texts", (config["cores"], config["memory"]), (4, "4096"))
        self.equal("config sshkeys", config["sshkeys"], quoted(GUEST_KEY))
        self.equal("config tags, password", (config["tags"], config["cipassword"]), ("a;b", "**********"))
        self.task("config in background", vm.config.post(onboot=1, balloon=1024))
        self.equal("config without options", refusal(vm.config.put), (500, "no options specified"))
        self.equal("pending", [one["value"] for one in vm.pending.get() if one["key"] == "onboot"], [1])
        self.task("resize", vm.resize.put(disk="scsi0", size="10G"))
        self.holds("resized", vm.config.get()["scsi0"], lambda found: "size=10G" in found, "size=10G")
        self.task("resize to less", vm.resize.put(disk="scsi0", size="1G"), "shrinking disks is not supported")
        self.task("start", vm.status.start.post())
        self.task("start twice", vm.status.start.post(), f"VM {first} already running")
        self.equal("status", vm.status.current.get()["status"], "running")
        self.equal("delete while running", refusal(vm.delete), (500, f"VM {first} is running - destroy failed"))
        self.agent(vm)
        self.task("reboot", vm.status.reboot.post())
        self.task("suspend", vm.status.suspend.post())
        self.task("resume", vm.status.resume.post())
        self.task("reset", vm.status.reset.post())
        self.task("shutdown", vm.status.shutdown.post(timeout=30, forceStop=1))
        self.equal("status after shutdown", vm.status.current.get()["status"], "stopped")
        self.equal("reset while stopped", refusal(vm.status.reset.post), (500, f"VM {first} not running"))
        self.task("stop", vm.status.stop.post())

    def agent(self, vm) -> None:
        until = time.monotonic() + WAIT_MAX
        while True:
            status, _ = refusal(vm.agent.ping.post)
            if status == 200 or time.monotonic() > until:
                break
            time.sleep(WAIT_PAUSE)
        self.equal("agent ping", status, 200)
        started = vm.agent.exec.post(command=["echo", "a b"])
        self.equal("agent exec", vm.agent("exec-status").get(pid=started["pid"])["out-data"], "a b\n")
        found = vm.agent("network-get-interfaces").get()["result"]
        addresses = {one["ip-address"] for card in found for one in card["ip-addresses"]}
        self.holds("agent addresses", addresses, lambda found: "10.0.0.5" in found, "the configured address")
        vm.agent("file-write").post(file="/etc/motd", content="hello")
        self.equal("agent files", vm.agent("file-read").get(file="/etc/motd")["content"], "hello")
        self.equal("agent by name", vm.agent.post(command="get-host-name")["result"], {"host-name": "web"})
        vm.agent("set-user-password").post(username="dev", password="secret43")
        self.report.equal("agent password", True, True)

    def snapshots(self) -> None:
        vm = self.node.qemu(self.first)
        self.task("snapshot", vm.snapshot.post(snapname="before", description="try"))
        self.equal("snapshots", [one["name"] for one in vm.snapshot.get()], ["before", "current"])
        vm.config.put(cores=1)
        self.task("rollback", vm.snapshot("before").rollback.post())
        self.equal("config after rollback", vm.config.get()["cores"], 4)
        self.equal("snapshot config", vm.snapshot("before").config.get()["description"], "try")
        self.task("snapshot of the same name", vm.snapshot.post(snapname="before"), "snapshot name 'before' already used")
        self.task("snapshot deletion", vm.snapshot("before").delete())

    def disks(self) -> None:
        vm, first = self.node.qemu(self.first), self.first
        vm.config.put(scsi1="local-lvm:2", ide0="local:iso/debian-12.11.0-amd64-netinst.iso,media=cdrom")
        self.equal("disk added", vm.config.get()["scsi1"], f"local-lvm:vm-{first}-disk-1,size=2G")
        self.task("disk moved", vm.move_disk.post(disk="scsi1", storage="shared", delete=1))
        vm.config.put(delete="scsi1")
        self.holds("disk detached", vm.config.get(), lambda found: "unused0" in found, "unused0")
        vm.unlink.put(idlist="unused0", force=1)
        self.equal("disk destroyed", "unused0" in vm.config.get(), False)
        sizes = sorted(one["size"] for one in self.node.storage("local-lvm").content.get(vmid=first))
        self.equal("volumes", sizes, [4 << 20, 10 * GIB])

    def files(self) -> None:
        storage = self.node.storage("local")
        image = io.BytesIO(b"\0" * 300_000)
        image.name = f"own-{self.first}.iso"
        self.task("upload", storage.upload.post(content="iso", filename=image))
        sizes = {one["volid"]: one["size"] for one in storage.content.get(content="iso")}
        self.equal("uploaded", sizes.get(f"local:iso/{image.name}"), 300_000)
        self.equal("volume", storage.content(f"local:iso/{image.name}").get()["format"], "iso")
        self.task("volume deletion", storage.content(f"local:iso/{image.name}").delete())

    def backups(self) -> None:
        node, first = self.node, self.first
        self.task("vzdump", node.vzdump.post(vmid=first, storage="local", mode="snapshot", compress="zstd", remove=0))
        found = node.storage("local").content.get(content="backup", vmid=first)
        self.equal("backups", [(one["vmid"], one["subtype"]) for one in found], [(first, "qemu")])
        archive = found[0]["volid"]
        extracted = node.vzdump.extractconfig.get(volume=archive)
        self.holds("extractconfig", extracted, lambda text: "cores: 4" in text, "the config as text")
        self.task("restore", node.qemu.post(vmid=first + 2, archive=archive, storage="local-lvm", unique=1))
        self.equal("restored", node.qemu(first + 2).config.get()["name"], "web")
        self.task("backup deletion", node.storage("local").content(archive).delete())
        self.api.cluster.backup.post(id=f"job-{first}", schedule="daily", storage="local", vmid=str(first), enabled=1)
        jobs = self.api.cluster.backup.get()
        self.equal("backup jobs", [(one["id"], one["vmid"]) for one in jobs], [(f"job-{first}", str(first))])
        self.api.cluster.backup(f"job-{first}").put(comment="nightly", schedule="21:00")
        self.equal("backup job", self.api.cluster.backup(f"job-{first}").get()["schedule"], "21:00")
        self.api.cluster.backup(f"job-{first}").delete()
        self.equal("backup job deletion", self.api.cluster.backup.get(), [])

    def migration(self) -> None:
        vm, first = self.node.qemu(self.first + 1), self.first + 1
        allowed = vm.migrate.get(target="pve2")
        self.equal("migration preconditions", (allowed["running"], allowed["local_disks"]), (0, []))
        self.task("migrate", vm.migrate.post(target="pve2"))
        gone = refusal(vm.config.get)
        self.equal("config on the old node", gone, (
            500, f"Configuration file 'nodes/pve1/qemu-server/{first}.conf' does not exist",
        ))
        moved = self.api.nodes("pve2").qemu(first)
        self.task("start on the new node", moved.status.start.post())
        self.task("migrate online", moved.migrate.post(target="pve1", online=1))
        self.task("stop after migration", vm.status.stop.post())

    def firewall(self) -> None:
        firewall = self.node.qemu(self.first).firewall
        firewall.options.put(enable=1, policy_in="DROP")
        self.equal("firewall options", firewall.options.get()["policy_in"], "DROP")
        firewall.rules.post(type="in", action="ACCEPT", proto="tcp", dport="22", enable=1, comment="ssh")
        firewall.rules.post(type="in", action="ACCEPT", macro="HTTPS", enable=1)
        self.equal("firewall rules", [one["pos"] for one in firewall.rules.get()], [0, 1])
        self.equal("firewall rule", firewall.rules(1).get()["dport"], "22")
        firewall.rules(1).put(dport="2222")
        firewall.rules(0).delete()
        self.equal("firewall rule changed", firewall.rules(0).get()["dport"], "2222")
        firewall.ipset.post(name="office")
        firewall.ipset("office").post(cidr="192.0.2.0/24")
        self.equal("firewall sets", [one["cidr"] for one in firewall.ipset("office").get()], ["192.0.2.0/24"])
        firewall.ipset("office")("192.0.2.0/24").delete()
        firewall.ipset("office").delete()
        self.equal("firewall set deletion", firewall.ipset.get(), [])

    def access(self) -> None:
        api, name = self.api, f"customer-{self.first}"
        user = f"{name}@pve"
        api.pools.post(poolid=name, comment="theirs")
        api.pools(name).put(vms=str(self.first))
        self.equal("pools", [one["vmid"] for one in api.pools(name).get()["members"]], [self.first])
        api.access.roles.post(roleid=name, privs="VM.Audit VM.PowerMgmt")
        self.equal("roles", sorted(api.access.roles(name).get()), ["VM.Audit", "VM.PowerMgmt"])
        api.access.groups.post(groupid=name)
        api.access.users.post(userid=user, password="first-password", groups=name)
        api.access.acl.put(path=f"/pool/{name}", groups=name, roles=name)
        entries = [one for one in api.access.acl.get() if one["path"] == f"/pool/{name}"]
        self.equal("access list", [(one["ugid"], one["type"]) for one in entries], [(name, "group")])
        secret = api.access.users(user).token("app").post(privsep=0)["value"]
        for how, their in {
            "password": connect(user=user, password="first-password"),
            "token": connect(user=user, token_name="app", token_value=secret),
        }.items():
            seen = [one["vmid"] for one in their.cluster.resources.get(type="vm")]
            self.equal(f"what a customer sees ({how})", seen, [self.first])
            found = refusal(lambda: their.nodes("pve1").qemu(self.first).delete())
            wanted = (403, f"Permission check failed (/vms/{self.first}, VM.Allocate)")
            self.equal(f"what a customer may not ({how})", found, wanted)
        api.access.acl.put(path=f"/pool/{name}", groups=name, roles=name, delete=1)
        api.access.users(user).token("app").delete()
        api.access.users(user).delete()
        api.access.groups(name).delete()
        api.access.roles(name).delete()
        api.pools(name).put(vms=str(self.first), delete=1)
        api.pools(name).delete()
        self.equal("pool deletion", [one["poolid"] for one in api.pools.get()], [])

    def tasks(self) -> None:
        upid = self.node.qemu(self.first).snapshot.post(snapname="logged")
        self.task("task", upid)
        log = Tasks.decode_log(self.node.tasks(upid).log.get())
        self.holds("task log", log, lambda text: text.endswith("TASK OK"), "TASK OK at the end")
        listed = self.node.tasks.get(vmid=self.first, typefilter="qmsnapshot", limit=1)
        self.equal("tasks", [(one["upid"], one["status"]) for one in listed], [(upid, "OK")])
        self.equal("UPID", Tasks.decode_upid(upid)["type"], "qmsnapshot")

    def errors(self) -> None:
        api, node = self.api, self.node
        self.equal("VM that is not there", refusal(node.qemu(98765).config.get), (
            500, "Configuration file 'nodes/pve1/qemu-server/98765.conf' does not exist",
        ))
        self.task("start of no VM", node.qemu(98765).status.start.post(),
                  "Configuration file 'nodes/pve1/qemu-server/98765.conf' does not exist")
        self.equal("path that is not there", refusal(api.nope.get), (501, "Method 'GET /nope' not implemented"))
        self.equal("no node", refusal(api.nodes("ghost").status.get)[0], 500)
        try:
            node.qemu(9000).clone.post(bogus=1)
            errors = None
        except ResourceException as refused:
            errors = refused.errors
        self.equal("parameter errors", errors, {
            "newid": "property is missing and it is not optional",
            "bogus": "property is not defined in schema and the schema does not allow additional properties",
        })
        self.equal("containers are refused", refusal(lambda: node.lxc.post(vmid=500, ostemplate="local:vztmpl/x.tar.zst")), (
            501, "Method 'POST /nodes/pve1/lxc' not implemented",
        ))

    def deletion(self) -> None:
        for vmid in range(self.first, self.first + 3):
            self.task(f"delete {vmid - self.first + 1} of 3", self.node.qemu(vmid).delete(purge=1))
        left = [one["vmid"] for one in self.api.cluster.resources.get(type="vm") if not one["template"]]
        self.equal("nothing is left", left, [])

    def run(self) -> None:
        for part in (self.lists, self.life, self.snapshots, self.disks, self.files, self.backups, self.migration,
                     self.firewall, self.access, self.tasks, self.errors, self.deletion):
            part()


def logins() -> None:
    report = Report("proxmoxer (login)")
    try:
        connect(user="root@pam", password="wrong")
        found = "accepted"
    except AuthenticationError:
        found = "refused"
    report.equal("wrong password", found, "refused")
    stranger = connect(user=TOKEN_USER, token_name=TOKEN_NAME, token_value="00000000-0000-0000-0000-000000000000")
    report.equal("wrong token", refusal(stranger.version.get)[0], 401)
    ticketed = connect(user="root@pam", password=PASSWORD)
    tickets = ticketed.get_tokens()
    report.holds("ticket and CSRF token", tickets, lambda found: found[0].startswith("PVE:root@pam:") and found[1], "both")
    renewed = connect(user="root@pam", password=tickets[0])
    report.equal("ticket as password", renewed.version.get()["release"], RELEASE)


def main() -> None:
    logins()
    Program("token", connect(user=TOKEN_USER, token_name=TOKEN_NAME, token_value=TOKEN_VALUE), 200).run()
    Program("password", connect(user="root@pam", password=PASSWORD), 300).run()


main()
