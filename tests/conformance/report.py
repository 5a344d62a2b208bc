"""The table that all programs fill, one line for each call; the first difference ends the program."""

import os
import sys
from typing import Callable

URL = os.environ["CONFORMANCE_URL"]
ADDRESS = URL.removeprefix("https://")
RELEASE = os.environ["CONFORMANCE_RELEASE"]
CERTIFICATE = os.environ["CONFORMANCE_CERTIFICATE"]
TOKEN = os.environ["CONFORMANCE_TOKEN"]
PASSWORD = os.environ["CONFORMANCE_PASSWORD"]
TOKEN_USER, TOKEN_NAME = TOKEN.split("=", 1)[0].split("!", 1)
TOKEN_VALUE = TOKEN.split("=", 1)[1]


def row(program: str, call: str, result: str) -> None:
    print(f"{program:<24} {RELEASE:<4} {call:<64} {result}", flush=True)


def difference(program: str, call: str, found: object, wanted: object) -> None:
    row(program, call, "DIFFERS")
    sys.exit(f"{program} against {RELEASE}, {call}:\n  found  {found!r}\n  wanted {wanted!r}")


class Report:
    """The lines of one program."""

    def __init__(self, program: str) -> None:
        self.program = program

    def equal(self, call: str, found: object, wanted: object) -> None:
        """The call's answer must be this."""
        if found != wanted:
            difference(self.program, call, found, wanted)
        row(self.program, call, "ok")

    def holds(self, call: str, found: object, rule: Callable[[object], bool], wanted: str) -> None:
        """The call's answer must obey a rule, which `wanted` says in words."""
        if not rule(found):
            difference(self.program, call, found, wanted)
        row(self.program, call, "ok")
