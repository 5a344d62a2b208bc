"""Breaks a copy of the tree in one place after the other and runs the tests that must notice.

A list is text: a title in brackets, `file`, the lines that are there (`-`), the lines that stand there instead (`+`, none to
remove them), and the `tests` that must fail, by a part of their names.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutations"
COPIED = ["Cargo.toml", "Cargo.lock", ".sqlx", "assets", "benches", "billing", "docs", "migrations", "proxmox-client",
          "proxmox-simulator", "src", "templates", "tests", "scripts", "README.md", "clippy.toml", "CONTRIBUTING.md", "rustfmt.toml"]
NOT_COPIED = {"node_modules", "__pycache__"}
BUILD_SECONDS_MAX = 1800
TEST_SECONDS_MAX = 900


@dataclasses.dataclass
class Mutation:
    title: str
    file: str = ""
    before: list[str] = dataclasses.field(default_factory=list)
    after: list[str] = dataclasses.field(default_factory=list)
    tests: str = ""

    def broken(self, text: str) -> str:
        before = "\n".join(self.before)
        if text.count(before) != 1:
            sys.exit(f"{self.title}: {self.file} has {text.count(before)} times, not once:\n{before}")
        return text.replace(before, "\n".join(self.after))


def read(path: pathlib.Path) -> list[Mutation]:
    mutations: list[Mutation] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("[") and line.endswith("]"):
            mutations.append(Mutation(line[1:-1]))
        elif line.startswith("file "):
            mutations[-1].file = line[5:]
        elif line.startswith("tests "):
            mutations[-1].tests = line[6:]
        elif line.startswith("-"):
            mutations[-1].before.append(line[1:])
        elif line.startswith("+"):
            mutations[-1].after.append(line[1:])
        elif line and not line.startswith("#"):
            sys.exit(f"{path.name}:{number}: {line}")
    return mutations


def copy_tree() -> None:
    """What has not changed keeps its time, so that only what is broken is built anew."""
    for name in COPIED:
        source, target = ROOT / name, COPY / name
        files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        files = [path for path in files if not NOT_COPIED & set(path.parts)]
        kept = {target / path.relative_to(source) for path in files}
        for old in target.rglob("*") if target.is_dir() else []:
            if old.is_file() and old not in kept:
                old.unlink()
        for path in files:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                shutil.copy2(path, copy)


def cargo(*arguments: str, seconds: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cargo", "test", "--quiet", "-p", "uni-manager", "--test", "it", *arguments],
                          cwd=COPY, env=os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}, text=True, capture_output=True, timeout=seconds, check=False)


def is_noticed(mutation: Mutation) -> tuple[bool, str]:
    """Whether a test fails, and the first that did."""
    path = COPY / mutation.file
    sound = path.read_text()
    path.write_text(mutation.broken(sound))
    try:
        built = cargo("--no-run", seconds=BUILD_SECONDS_MAX)
        if built.returncode != 0:
            sys.exit(f"{mutation.title}: does not compile\n{built.stderr[-4000:]}")
        try:
            tested = cargo("--", mutation.tests, seconds=TEST_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return True, "they do not end"
        failed = [line.strip() for line in tested.stdout.splitlines() if line.startswith("    ") and "::" in line]
        if tested.returncode == 0 and " 0 passed" in tested.stdout:
            sys.exit(f"{mutation.title}: there is no test {mutation.tests}")
        return tested.returncode != 0, failed[0] if failed else ""
    finally:
        path.write_text(sound)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    words = " ".join(arguments.words)
    mutations = [mutation for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")) for mutation in read(path)
                 if words in mutation.title]
    for mutation in mutations:
        mutation.broken((ROOT / mutation.file).read_text())
    if arguments.list:
        for mutation in mutations:
            print(f"{mutation.title}: {mutation.file}, noticed by {mutation.tests}")
        return
    copy_tree()
    unnoticed = []
    for mutation in mutations:
        start = time.monotonic()
        noticed, by = is_noticed(mutation)
        print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutation.title} ({by or mutation.tests}, {time.monotonic() - start:.0f} s)", flush=True)
        if not noticed:
            unnoticed.append(mutation.title)
    print(f"{len(mutations) - len(unnoticed)} of {len(mutations)} were noticed")
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
