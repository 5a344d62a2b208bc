"""Sends the requests of docs/api.md as they stand there, and compares the answers with what the page says."""

import json
import re
import urllib.error
import urllib.request

ANSWER_SECONDS_MAX = 30
BLOCK = re.compile(r"^```(http|json)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def send(url, method, path, headers=None, body=None):
    """Sends a request; returns status, headers and text."""
    request = urllib.request.Request(url + path, method=method, headers=headers or {}, data=body)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()


def filled(text, known):
    """The text with `$NAME` replaced by what is known of it."""
    return re.sub(r"\$([A-Z]+)", lambda name: known[name.group(1)], text)


def differences(shown, got, place="answer"):
    """What the page shows and the answer has not. `…` stands for any text, numbers for numbers; more fields are fine."""
    if isinstance(shown, dict):
        if not isinstance(got, dict):
            return [f"{place} is no object"]
        missing = [f"{place} has no {name}" for name in shown if name not in got]
        inner = [differences(shown[name], got[name], f"{place}.{name}") for name in shown if name in got]
        return missing + sum(inner, [])
    if isinstance(shown, list):
        if not isinstance(got, list) or len(got) < len(shown):
            return [f"{place} is too short"]
        return sum((differences(one, got[index], f"{place}.{index}") for index, one in enumerate(shown)), [])
    if shown is None or got is None:
        return []
    if type(shown) is not type(got):
        return [f"{place} is {got!r}"]
    is_example = shown == "…" or re.fullmatch(r"-?\d+\.\d+", str(shown)) or place.endswith((".progress", ".expires_in"))
    return [] if is_example or shown == got else [f"{place} is {got!r}, not {shown!r}"]


def at(value, path):
    """What stands at `items.0.id`."""
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return value


def check(page, url, known):
    """Goes through the page; returns how many answers were compared, and what is wrong."""
    wrong, compared, answer = [], 0, None
    for kind, info, text in BLOCK.findall(page):
        try:
            text = filled(text, known)
            if kind == "http":
                head, _, body = text.partition("\n\n")
                first, *lines = head.strip().split("\n")
                method, path = first.split(" ")
                headers = dict(line.split(": ", 1) for line in lines)
                status, _, answer = send(url, method, path, headers, body.strip().encode() or None)
                compared += 1
                if status != int(info.strip()):
                    wrong.append(f"{first}: {status}, not {info.strip()}: {answer}")
            else:
                got = json.loads(answer)
                wrong += [f"{first}: {difference}" for difference in differences(json.loads(text), got)]
                for name, path in (pair.split("=") for pair in info.split()):
                    known[name] = at(got, path)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            wrong.append(f"this part cannot be followed ({error!r}):\n{text}")
    return compared, wrong
