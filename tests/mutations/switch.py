"""Writes both a check and what stands instead into one text, so that one build holds many mutations and a run turns one on.

Rust asks the environment, SQL a setting of its connection.
"""

import re

FUNCTION = """
/// Whether this mutation is the one that is tried.
pub fn mutated(number: u32) -> bool {
    static TRIED: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var("UNIM_MUTATION").ok().and_then(|number| number.parse().ok()));
    *TRIED == Some(number)
}
"""

# What ends the condition of a query on its line.
SQL = re.compile(r'^(?P<head>.*?\b(?:where|on) )(?P<condition>.*?)(?P<tail>(?: returning .*| for share.*|\) \w+)?"?#?,?)$')
SET = re.compile(r"^(?P<head>\w+ = )(?P<condition>.*?)(?P<tail>,?)$")
CONDITION = re.compile(r"^(?P<head>(?:if|while) )(?P<body>.*)(?P<tail> \{)$")
BINDING = re.compile(r"^(?P<head>let [^=]*= )(?P<body>.*)(?P<tail>;)$")
ARM = re.compile(r"^(?P<head>.* => )(?P<body>.*)(?P<tail>,)$")
GUARD = re.compile(r"^(?P<head>.*?\) if )(?P<body>.*)(?P<tail> => .*,)$")
FIELD = re.compile(r"^(?P<head>\w+: )(?P<body>.*)(?P<tail>,)$")


# What a source is made of, as far as one must know to tell text from code.
PIECES = re.compile(r'//[^\n]*|r#".*?"#|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\\])\'', re.DOTALL)


def is_text(source: str, place: int) -> bool:
    """Whether a place of a source lies in a text."""
    return any(piece.start() < place < piece.end() for piece in PIECES.finditer(source) if not piece.group().startswith(("//", "'")))


def switched(before: list[str], after: list[str], number: int, in_text: bool) -> list[str] | None:
    """The lines that do as before unless the mutation of this number is tried; `None` where no rule serves."""
    before, after = list(before), [line for line in after if line.strip()]
    first, last = [], []
    while before and after and before[-1] == after[-1]:
        last.insert(0, before.pop())
        after.pop()
    while before and after and before[0] == after[0]:
        first.append(before.pop(0))
        after.pop(0)
    core = "\n".join(before).strip(), "\n".join(after).strip()
    middle = both(*core, number, in_text)
    return None if middle is None else [*first, middle, *last]


def both(sound: str, broken: str, number: int, in_text: bool) -> str | None:
    tried = f"crate::mutated({number})"
    # Queries, whose text begins on the line or before it.
    if in_text or re.match(r'r?#?"(delete|update|select|insert) ', sound):
        if "\n" in sound or "\n" in broken:
            return None
        write = lambda one, other: f"(case when current_setting('unim.mutation', true) = '{number}' then ({other}) else ({one}) end)"
        return together(SQL, sound, broken, write, "condition") or together(SET, sound, broken, write, "condition")
    choice = lambda one, other: f"if {tried} {{ {other} }} else {{ {one} }}"
    if not broken:
        if sound.startswith("let ") or not sound.endswith((";", "}")):
            return None
        return f"if !{tried} {{ {sound} }}"
    if sound.startswith(("const ", "static ", "pub const ")) or broken.startswith("let ") and " else {" in broken:
        return None
    if CONDITION.match(sound):
        return together(CONDITION, sound, broken, lambda one, other: f"({choice(one, other)})")
    if sound.startswith("let "):
        return together(BINDING, sound, broken, choice)
    if " => " in sound:
        return together(GUARD, sound, broken, lambda one, other: f"({choice(one, other)})") or together(ARM, sound, broken, choice)
    if sound.endswith(","):
        return together(FIELD, sound, broken, choice)
    if sound.count("{") != sound.count("}") or broken.count("{") != broken.count("}"):
        return None
    if sound.endswith(";") == broken.endswith(";"):
        return choice(sound, broken)
    return None


def together(form: re.Pattern[str], sound: str, broken: str, write, body: str = "body") -> str | None:
    """Both in one, where they differ only in the part that the form names; `let` in it cannot be chosen."""
    one, other = form.match(sound), form.match(broken)
    if not one or not other or (one["head"], one["tail"]) != (other["head"], other["tail"]):
        return None
    if body == "body" and ("let " in one[body] or "let " in other[body]):
        return None
    return one["head"] + write(one[body], other[body]) + one["tail"]
