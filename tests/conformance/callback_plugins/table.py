"""Shows each task of the playbook as a line of the table."""

import json
import os
import sys

from ansible.plugins.callback import CallbackBase

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from report import row  # noqa: E402

DOCUMENTATION = """
name: table
type: stdout
short_description: One line for each task
description: One line for each task.
"""


class CallbackModule(CallbackBase):
    """The table, and what a failed task said."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "table"

    def v2_runner_on_ok(self, result) -> None:
        row("ansible (modules)", result.task.get_name(), "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        row("ansible (modules)", result.task.get_name(), "DIFFERS")
        print(json.dumps(dict(result.result), indent=2, default=str), file=sys.stderr)
