"""Tries what cargo-mutants would change in the rooms that decide who somebody is and what he may do.

cargo-mutants builds each of its mutations alone, which would take a day. It is asked for its list only: every function that
could answer something else and every operator that could be another one stand behind a switch in one build, as those of
`run.py` do. What the compiler refuses is left out and counted.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import run
import switch
import tree_sitter
import tree_sitter_rust

# Where mutations are made, and the tests that should notice, the quickest first. Each line of tests is one run.
ROOMS = {
    "src/sessions/**": ["identity::sessions identity::tokens", "second_factor:: streams console:: organisations::switching", "doors:: staff:: accounts identity::verification"],
    "src/permissions.rs": ["staff:: organisations::roles", "doors::", "api_keys organisations::"],
    "src/api_keys/**": ["api_keys", "spending doors:: organisations::members"],
}
# What is tried first: another answer of a function, then another logic, then another limit.
FIRST = ["FnValue", "UnaryOperator", "BinaryOperator"]
# How often the build is tried; each time what the compiler refused is left out.
BUILDS_MAX = 12
TEST_SECONDS_MAX = 300
# So many mutations are tried side by side, each with so many threads.
SIDE_BY_SIDE = 2
THREADS = 3


@dataclasses.dataclass
class Mutation:
    number: int
    name: str
    file: str
    genre: str
    replacement: str
    start: tuple[int, int]
    end: tuple[int, int]


def listed() -> list[Mutation]:
    """What cargo-mutants would try."""
    files = [argument for pattern in ROOMS for argument in ("-f", pattern)]
    command = ["cargo", "mutants", "--list", "--json", "-p", "uni-manager", *files]
    found = json.loads(subprocess.run(command, cwd=run.ROOT, text=True, capture_output=True, check=True).stdout)
    place = lambda span, side: (span[side]["line"] - 1, span[side]["column"] - 1)
    return [Mutation(number, one["name"], one["file"], one["genre"], one["replacement"], place(one["span"], "start"), place(one["span"], "end"))
            for number, one in enumerate(found, 1)]


class Source:
    """A file with its mutations behind switches."""

    def __init__(self, path: pathlib.Path, mutations: list[Mutation]):
        # A constant function cannot ask which mutation is tried.
        self.bytes = re.sub(rb"\bconst (?=fn\b)", b"      ", path.read_bytes())
        self.lines = self.bytes.splitlines(keepends=True)
        self.tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language())).parse(self.bytes)
        self.at_operator = collections.defaultdict(list)
        self.at_body = collections.defaultdict(list)
        for mutation in mutations:
            places = self.at_body if mutation.genre == "FnValue" else self.at_operator
            places[self.offset(mutation.start)].append(mutation)
        self.written: set[int] = set()

    def offset(self, place: tuple[int, int]) -> int:
        line, column = place
        return sum(len(line) for line in self.lines[:line]) + len(self.lines[line].decode()[:column].encode())

    def text(self) -> str:
        return self.rendered(self.tree.root_node)

    def raw(self, node) -> str:
        return self.bytes[node.start_byte:node.end_byte].decode()

    def rendered(self, node) -> str:
        if node.type in ("const_item", "static_item"):
            return self.raw(node)
        parts, at = [], node.start_byte
        for child in node.children:
            parts += [self.bytes[at:child.start_byte].decode(), self.rendered(child)]
            at = child.end_byte
        text = "".join(parts) + self.bytes[at:node.end_byte].decode()
        if node.type in ("binary_expression", "compound_assignment_expr", "unary_expression"):
            return self.with_operators(node, text)
        if node.type == "block" and node.parent.type == "function_item":
            return self.with_answers(node, text)
        return text

    def with_operators(self, node, text: str) -> str:
        operator = next((child for child in node.children if not child.is_named), None)
        for mutation in self.at_operator.get(operator.start_byte, []) if operator else []:
            if node.type == "unary_expression":
                other = mutation.replacement + self.raw(node.children[-1])
            else:
                left, right = self.raw(node.children[0]), self.raw(node.children[-1])
                other = f"{left} {mutation.replacement} {right}"
            self.written.add(mutation.number)
            other = " ".join(line.strip() for line in other.splitlines())
            text = f"(if crate::mutated({mutation.number}) {{\n/*{mutation.number}*/ {other}\n}} else {{ {text} }})"
        return text

    def with_answers(self, node, text: str) -> str:
        inside = self.bytes[node.start_byte + 1:node.end_byte]
        first = node.start_byte + 1 + len(inside) - len(inside.lstrip())
        answers = ""
        for mutation in self.at_body.get(first, []):
            self.written.add(mutation.number)
            answers += f"\n/*{mutation.number}*/ if crate::mutated({mutation.number}) {{ return {mutation.replacement}; }}\n"
        return "{" + answers + text[1:]


def write(mutations: list[Mutation]) -> set[int]:
    """Puts all of them into the copy, and says which found a place."""
    run.copy_tree()
    written: set[int] = set()
    by_file = collections.defaultdict(list)
    for mutation in mutations:
        by_file[mutation.file].append(mutation)
    for file, those in by_file.items():
        source = Source(run.ROOT / file, those)
        (run.COPY / file).write_text(source.text())
        written |= source.written
    library = run.COPY / "src" / "lib.rs"
    library.write_text("#![allow(warnings, clippy::all)]\n" + library.read_text() + switch.FUNCTION)
    return written


def refused() -> tuple[set[int], str]:
    """The mutations on whose lines the compiler stumbles, and what it says."""
    command = ["cargo", "check", "-p", "uni-manager", "--lib", "--message-format=json", "--quiet"]
    built = subprocess.run(command, cwd=run.COPY, env=environment(), text=True, capture_output=True, timeout=run.BUILD_SECONDS_MAX, check=False)
    numbers: set[int] = set()
    said = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    errors = [message["message"] for message in said if message.get("reason") == "compiler-message" and message["message"]["level"] == "error"]
    for error in errors:
        for span in error["spans"]:
            lines = (run.COPY / span["file_name"]).read_text().splitlines() if (run.COPY / span["file_name"]).is_file() else []
            for line in lines[span["line_start"] - 1:span["line_end"]][:3]:
                numbers |= {int(number) for number in re.findall(r"/\*(\d+)\*/", line)}
    if errors and not numbers:
        sys.exit("does not compile\n" + "\n".join(error["rendered"] for error in errors)[:6000])
    return numbers, built.stderr if built.returncode and not errors else ""


def environment() -> dict[str, str]:
    return os.environ | {"CARGO_TARGET_DIR": str(run.TARGET)}


def programs() -> tuple[str, str]:
    """Builds the tests of the library and those of the house, and answers where they are."""
    command = ["cargo", "test", "-p", "uni-manager", "--lib", "--test", "it", "--no-run", "--message-format=json", "--quiet"]
    built = subprocess.run(command, cwd=run.COPY, env=environment(), text=True, capture_output=True, timeout=run.BUILD_SECONDS_MAX, check=False)
    if built.returncode:
        sys.exit(f"does not compile\n{built.stderr[-6000:]}")
    said = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    found = {artifact["target"]["name"]: artifact["executable"] for artifact in said if artifact.get("executable") and artifact["profile"]["test"]}
    return found["uni_manager"], found["it"]


def notices(command: list[str], number: int) -> str | None:
    """The first test that fails with this mutation; the rest are not waited for."""
    switched = os.environ | {"UNIM_MUTATION": str(number), "CARGO_MANIFEST_DIR": str(run.COPY), "RUST_BACKTRACE": "0"}
    running = subprocess.Popen(command, cwd=run.COPY, env=switched, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ends_at = time.monotonic() + TEST_SECONDS_MAX
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            while True:
                try:
                    line = reader.submit(running.stdout.readline).result(timeout=max(1, ends_at - time.monotonic()))
                except TimeoutError:
                    running.terminate()
                    return "they do not end"
                if " ... FAILED" in line:
                    return line.removeprefix("test ").split(" ... ")[0]
                if not line:
                    return None if running.wait() == 0 else "they break off"
    finally:
        running.terminate()
        running.wait()


def tried(mutation: Mutation, unit: str, house: str) -> str | None:
    if failed := notices([unit, "--test-threads", str(THREADS)], mutation.number):
        return failed
    room = next(room for room in ROOMS if mutation.file.startswith(room.removesuffix("**")))
    for tests in ROOMS[room]:
        if failed := notices([house, "--test-threads", str(THREADS), *tests.split()], mutation.number):
            return failed
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    words = " ".join(parser.parse_args().words)
    all_of_them = [mutation for mutation in listed() if words in f"{mutation.genre} {mutation.name}"]
    left = all_of_them
    for _ in range(BUILDS_MAX):
        written = write(left)
        left = [mutation for mutation in left if mutation.number in written]
        numbers, trouble = refused()
        if trouble:
            sys.exit(trouble[-6000:])
        if not numbers:
            break
        left = [mutation for mutation in left if mutation.number not in numbers]
    unit, house = programs()
    left.sort(key=lambda mutation: FIRST.index(mutation.genre))
    print(f"{len(left)} of {len(all_of_them)} can be switched on in one build", flush=True)
    unnoticed = []
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = {pool.submit(tried, mutation, unit, house): mutation for mutation in left}
        for result in concurrent.futures.as_completed(results):
            mutation, by = results[result], result.result()
            print(f"{'noticed' if by else 'NOT NOTICED'}: {mutation.name} ({by})", flush=True)
            if not by:
                unnoticed.append(mutation.name)
    run.copy_tree()
    print(f"{len(left) - len(unnoticed)} of {len(left)} were noticed")
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
