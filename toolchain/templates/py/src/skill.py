"""`cyberos-skill-cli build` compiles this to dist/skill.wasm, and `fixtures` runs its cases.

An exception is the skill's error message. The host's functions are in `cyberos_host`, as far as allowed-tools
in SKILL.md declares them.
"""

import json

GREETINGS = {"vi": "Xin chào", "en": "Hello"}


def run(text: str) -> str:
    """Answer one call, JSON text to JSON text."""
    fields = json.loads(text)
    if "name" not in fields:
        raise ValueError('input_invalid: the field "name" is missing')
    language = fields.get("language", "vi")
    if language not in GREETINGS:
        raise ValueError('input_invalid: the field "language" must be one of "vi" and "en"')
    answer = {"greeting": f"{GREETINGS[language]} {fields['name']}"}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
