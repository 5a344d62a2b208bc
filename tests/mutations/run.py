"""Takes one check after the other out of a copy of the tree and runs the tests that must notice.

Building each alone would take hours, so all that `switch.py` can put behind a switch stand in one build, and each run of the
tests turns one of them on.

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

import switch

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutations"
TARGET = ROOT / "target" / "mutations-target"
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


def cargo(*arguments: str) -> None:
    """Builds the broken copy, or ends with what the compiler says."""
    built = subprocess.run(["cargo", "test", "--quiet", "-p", "uni-manager", "--test", "it", "--no-run", *arguments],
                           cwd=COPY, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, text=True, capture_output=True,
                           timeout=BUILD_SECONDS_MAX, check=False)
    if built.returncode != 0:
        sys.exit(f"does not compile\n{built.stderr[-6000:]}")


def program() -> pathlib.Path:
    """The tests that were built last."""
    return max((path for path in (TARGET / "debug" / "deps").glob("it-*") if not path.suffix), key=lambda path: path.stat().st_mtime)


def is_noticed(mutation: Mutation, number: int) -> tuple[bool, str]:
    """Whether a test fails when the check of this number is switched off, and the first that did."""
    switched = {"UNIM_MUTATION": str(number), "PGOPTIONS": f"-c unim.mutation={number}", "CARGO_MANIFEST_DIR": str(COPY)}
    try:
        tested = subprocess.run([program(), "--test-threads", "4", mutation.tests], cwd=COPY, env=os.environ | switched, text=True,
                                capture_output=True, timeout=TEST_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return True, "they do not end"
    failed = [line.strip() for line in tested.stdout.splitlines() if line.startswith("    ") and "::" in line]
    if tested.returncode == 0 and " 0 passed" in tested.stdout:
        sys.exit(f"{mutation.title}: there is no test {mutation.tests}")
    return tested.returncode != 0, failed[0] if failed else ""


def batches(mutations: list[Mutation]) -> list[list[Mutation]]:
    """Those that can stand in one build together: all that can be switched, and alone each that cannot."""
    together: list[list[Mutation]] = []
    for mutation in mutations:
        if not is_switched(mutation):
            together.append([mutation])
            continue
        # Two that change the same lines need two builds.
        for batch in together:
            if is_switched(batch[0]) and all(other.file != mutation.file or not overlap(other, mutation) for other in batch):
                batch.append(mutation)
                break
        else:
            together.append([mutation])
    return together


def overlap(one: Mutation, other: Mutation) -> bool:
    text = (ROOT / one.file).read_text()
    places = []
    for mutation in (one, other):
        start = text.index("\n".join(mutation.before))
        places.append((start, start + len("\n".join(mutation.before))))
    return places[0][0] <= places[1][1] and places[1][0] <= places[0][1]


def behind_a_switch(mutation: Mutation, number: int) -> list[str] | None:
    text = (ROOT / mutation.file).read_text()
    place = text.index("\n".join(mutation.before))
    return switch.switched(mutation.before, mutation.after, number, switch.is_text(text, place))


def is_switched(mutation: Mutation) -> bool:
    return behind_a_switch(mutation, 0) is not None


def build(batch: list[Mutation]) -> None:
    """Brings the copy to the state in which each of a batch can be switched on by its number, from 1."""
    copy_tree()
    if not is_switched(batch[0]):
        path = COPY / batch[0].file
        path.write_text(batch[0].broken(path.read_text()))
    else:
        for number, mutation in enumerate(batch, 1):
            path = COPY / mutation.file
            lines = behind_a_switch(mutation, number)
            path.write_text(dataclasses.replace(mutation, after=lines).broken(path.read_text()))
        library = COPY / "src" / "lib.rs"
        # Choices that are written into the middle of lines need no style.
        library.write_text("#![allow(warnings)]\n" + library.read_text() + switch.FUNCTION)
    cargo()


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
    builds = batches(mutations)
    if arguments.list:
        for number, batch in enumerate(builds, 1):
            for mutation in batch:
                print(f"build {number}: {mutation.title}: {mutation.file}, noticed by {mutation.tests}")
        return
    unnoticed = []
    for batch in builds:
        build(batch)
        for number, mutation in enumerate(batch, 1):
            start = time.monotonic()
            noticed, by = is_noticed(mutation, number)
            print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutation.title} ({by or mutation.tests}, {time.monotonic() - start:.0f} s)", flush=True)
            if not noticed:
                unnoticed.append(mutation.title)
    copy_tree()
    print(f"{len(mutations) - len(unnoticed)} of {len(mutations)} were noticed")
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
