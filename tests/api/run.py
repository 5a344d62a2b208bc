"""Holds a demo to the description of its API: sends the requests of docs/api.md, and what schemathesis makes of the
description, once as a customer and once as an admin of the platform. The last line counts."""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import guide

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/uni-manager"
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
JOB_SECONDS_MAX = 60
# A run that takes longer hangs.
RUN_SECONDS_MAX = 600
# How many requests are made up for each operation, besides those at the edges of what is described. More find more, and take
# longer: UNI_MANAGER_TEST_EXAMPLES=200 for a long night.
EXAMPLES = int(os.environ.get("UNI_MANAGER_TEST_EXAMPLES", "8"))

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
]
# What would take the ground from under the rest of the run: it ends every login of who asks, the run's own too. Logging out ends
# only the login of the token that is sent along, and none of those that are made up is anybody's.
LEFT_OUT = "DELETE /account/sessions"
# Of each kind of thing that can be deleted there are so many to lose.
TO_LOSE = 3


class Demo:
    """A demo on a free port, in a folder of its own, ended by its own number."""

    def __init__(self, folder):
        self.said = open(folder / "said", "w+b")
        data = folder / "data"
        self.process = subprocess.Popen(
            [PROGRAM, "demo", "--listen", "127.0.0.1:0", "--data", data],
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.said,
        )
        until = time.monotonic() + START_SECONDS_MAX
        facts = data / "demo.json"
        while not facts.exists() or b"Uni-Manager demo" not in (folder / "said").read_bytes():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                sys.exit("the demo did not start:\n" + (folder / "said").read_text())
            time.sleep(0.1)
        self.facts = json.loads(facts.read_text())
        self.url = self.facts["url"]
        self.log = data / "log"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.said.close()

    def call(self, method, path, token=None, body=None):
        """A request that has to succeed; returns what it was answered."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None if body is None else json.dumps(body).encode()
        status, _, text = guide.send(self.url, method, "/api/v1" + path, headers, content)
        if status >= 300:
            sys.exit(f"{method} {path} was answered {status}: {text}")
        return json.loads(text) if text else None

    def log_in(self, who):
        return self.call("POST", "/auth/login", body=self.facts[who])["access_token"]


def public_key(number):
    """A key that is real in form and nobody's in fact."""
    parts = (b"ssh-ed25519", bytes([number]) * 32)
    return "ssh-ed25519 " + base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()


def lose(demo, token):
    """Makes things that may be deleted, and one more of each that stays; returns the ids by the beginnings of their paths."""
    new = {
        "/ssh-keys": lambda number: {"name": f"key {number}", "public_key": public_key(number)},
        "/api-keys": lambda number: {"name": f"key {number}", "permissions": ["vm.view"]},
        "/invitations": lambda number: {"email": f"person-{number}@example.org", "role": "viewer"},
        "/roles": lambda number: {"name": f"Role {number}", "permissions": ["vm.view"]},
    }
    made = {}
    for path, body in new.items():
        answers = [demo.call("POST", path, token, body(number)) for number in range(TO_LOSE + 1)]
        made[path + "/"] = [answer.get("id") or answer["role"] for answer in answers]
    # The run logs in once more.
    made["/account/sessions/"] = [session["id"] for session in demo.call("GET", "/account/sessions", token)["items"]]
    return made


def never_lost(demo, to_lose):
    """Of which kinds nothing was deleted, though there was something to delete."""
    token, kept = demo.log_in("customer"), []
    for path, ids in to_lose.items():
        items = demo.call("GET", path.removesuffix("/"), token)["items"]
        here = {item.get("id") or item["role"] for item in items if item.get("state", "active") == "active"}
        if ids and set(ids) <= here:
            kept.append(path)
    return kept


def prepare(demo):
    """Makes that there is something of each kind; returns the beginnings of paths with an id that is there, and likewise with
    those that may be deleted."""
    admin, customer = demo.log_in("admin"), demo.log_in("customer")
    first = lambda path, token: demo.call("GET", path, token)["items"][0]["id"]
    organisation = demo.call("GET", "/auth/me", customer)["organisation"]["id"]
    vm, job = first("/vms", customer), first("/jobs", customer)
    until = time.monotonic() + JOB_SECONDS_MAX
    while demo.call("GET", f"/jobs/{job}", customer)["status"] != "completed":
        if time.monotonic() > until:
            sys.exit("the machine of the guide did not come up")
        time.sleep(0.5)
    demo.call("POST", "/admin/vouchers", admin, {"amount": "5", "count": 2})
    to_lose = lose(demo, customer)
    kept = {path: ids.pop() for path, ids in to_lose.items()}
    return kept | {
        "/vms/": vm,
        "/jobs/": job,
        "/admin/organisations/": organisation,
        "/admin/vms/": vm,
        "/admin/jobs/": job,
        "/admin/clusters/": first("/admin/clusters", admin),
        "/admin/foreign-guests/": first("/admin/clusters", admin),
        "/admin/price-lists/": first("/admin/price-lists", admin),
        "/admin/plans/": first("/admin/plans", admin),
        "/admin/vouchers/": first("/admin/vouchers", admin),
    }, to_lose


def schemathesis(demo, who, folder, ids, to_lose, included):
    """One run; returns how many operations passed and failed."""
    token = demo.log_in(who)
    # The programme's own file, so that nothing of the developer's is read.
    config = folder / "schemathesis.toml"
    config.write_text("[warnings]\ndisplay = []\n")
    report = folder / f"{who}.xml"
    command = [SCHEMATHESIS, "--config-file", config, "--no-color", "run", demo.url + "/api/v1/openapi.json"]
    command += ["--url", demo.url + "/api/v1", "--header", f"Authorization: Bearer {token}"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--workers", "1"]
    # The same requests at every run: what is made up follows from the description alone.
    command += ["--max-examples", str(EXAMPLES), "--generation-deterministic"]
    command += ["--include-path-regex", included, "--exclude-name", LEFT_OUT, "--continue-on-failure", "--request-timeout", "30"]
    command += ["--suppress-health-check", "all", "--report-junit-path", report]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "UNI_MANAGER_TEST_IDS": json.dumps(ids)}
    environment["UNI_MANAGER_TEST_IDS_TO_LOSE"] = json.dumps(to_lose)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    began = time.monotonic()
    ended = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
    )
    seconds = time.monotonic() - began
    tested = failed = 0
    if report.exists():
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            tested += 1
            failed += any(case.find(kind) is not None for kind in ("failure", "error"))
    if ended.returncode != 0:
        print(ended.stdout, ended.stderr, sep="\n")
        failed = max(failed, 1)
    requests = re.findall(r"^\s*Test cases:.*$|^\s*.*\bgenerated\b.*$", ended.stdout, re.MULTILINE)
    print(f"schemathesis as {who}: {tested} operations, {failed} failed, {seconds:.0f} s. {' '.join(' '.join(requests).split())}")
    return max(tested - failed, 0), failed


def main():
    # Who is told to end ends the demo as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="uni-manager-api-") as name:
        folder = pathlib.Path(name)
        demo = Demo(folder)
        try:
            admin = demo.log_in("admin")
            customer = demo.facts["customer"]
            known = {"EMAIL": customer["email"], "PASSWORD": customer["password"]}
            organisation = demo.call("GET", "/auth/me", demo.log_in("customer"))["organisation"]["id"]
            demo.call("POST", f"/admin/organisations/{organisation}/credits", admin, {"amount": "1000", "reason": "Tests"})
            demo.call("PUT", "/admin/quotas", admin, {"limits": {"api_requests_per_minute": 1_000_000}})
            compared, wrong = guide.check((ROOT / "docs/api.md").read_text(), demo.url, known)
            for one in wrong:
                print(f"docs/api.md: {one}")
            print(f"docs/api.md: {compared} requests, {len(wrong)} differences.")
            passed, failed = passed + compared - min(compared, len(wrong)), failed + len(wrong)
            ids, to_lose = prepare(demo)
            # What a customer may not enter is the same refusal everywhere; a test of doors has all of it.
            for who, included in (("customer", r"^/(?!admin/)"), ("admin", r"^/admin/")):
                ran, not_held = schemathesis(demo, who, folder, ids, to_lose, included)
                passed, failed = passed + ran, failed + not_held
                # What an admin sends changes the customer's quotas, so it is looked at before.
                for path in never_lost(demo, to_lose) if who == "customer" else ():
                    print(f"DELETE {path} never met anything that was there")
                    failed += 1
            for line in demo.log.read_text().splitlines():
                if " ERROR " in line:
                    print(f"the log: {line}")
        finally:
            demo.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
