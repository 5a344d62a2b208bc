"""What schemathesis is told beyond the description: ids that exist, and addresses that lead nowhere else."""

import itertools
import json
import os
import uuid

import schemathesis

# The beginnings of paths with the id of something that is there, written by run.py; the longest counts.
KNOWN = json.loads(os.environ["UNI_MANAGER_TEST_IDS"])
# Likewise, of what may be deleted: by turns, for not every request that names one is let in.
TO_LOSE = {path: itertools.cycle(ids) for path, ids in json.loads(os.environ["UNI_MANAGER_TEST_IDS_TO_LOSE"]).items() if ids}
# Nothing listens here, so that no test talks to anybody else's machine.
NOWHERE = "https://127.0.0.1:1"


def is_id(text):
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


@schemathesis.hook
def map_case(context, case):
    """A made-up id is that of nothing. Two of three become one of something; what is no id stays. Deleted is only what was made for
    it."""
    if isinstance(case.path_parameters, dict):
        deletes = case.method.upper() == "DELETE"
        # Cases share what is made up for them, and the id of one may not become another's.
        case.path_parameters = parts = dict(case.path_parameters)
        fitting = [path for path in (TO_LOSE if deletes else KNOWN) if case.path.startswith(path)]
        longest = max(fitting, key=len, default=None)
        for name, value in parts.items():
            if longest is None or name not in ("id", "cluster") or not is_id(value):
                continue
            if deletes:
                parts[name] = next(TO_LOSE[longest])
            elif uuid.UUID(str(value)).int % 3:
                parts[name] = KNOWN[longest]
    # So it is with organisations: most requests are to be about one's own.
    chosen = (case.headers or {}).get("X-Organisation")
    if chosen is not None and is_id(chosen) and uuid.UUID(str(chosen)).int % 3:
        del case.headers["X-Organisation"]
    body = case.body
    if isinstance(body, dict):
        # Nobody here has a second factor, so who demands one shuts the door behind himself.
        for name in ("required", "staff_second_factor"):
            if body.get(name) is True:
                body[name] = False
        for wanted in [body, *(body.get("endpoints") or [])] if isinstance(body.get("endpoints"), list) else [body]:
            for name in ("endpoint", "url"):
                if isinstance(wanted, dict) and str(wanted.get(name, "")).strip().startswith("http"):
                    wanted[name] = NOWHERE
    return case
