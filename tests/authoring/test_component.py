from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime.component import Component, Linker, Variant

from subgraph.authoring import AuthoringError
from subgraph.authoring.component import component_around, component_imports, core_imports
from subgraph.authoring.contract import HOST
from subgraph.authoring.languages import Language
from subgraph.authoring.native import compile_native
from subgraph.authoring.steps import Steps

FUNCTIONS = (
    "exec-command", "fetch-url", "get-secret", "list-dir", "log", "read-env", "read-file", "recall-memory",
    "write-file",
)  # fmt: skip
EVERYTHING = "read_file write_file list_dir fetch_url get_secret read_env recall_memory exec_command"

# Each asks for something and answers with what it was told, so that every way through the shell is walked.
SOURCES = {
    Language.ZIG: """
const std = @import("std");
const host = @import("cyberos");
pub fn run(allocator: std.mem.Allocator, input: []const u8) ![]const u8 {
    const arguments = [_][]const u8{ "one", "hai" };
    try host.log("a line");
    try host.writeFile("out.txt", input);
    const names = try host.listDir("dir");
    const notes = try host.recallMemory("query", 7);
    const refused = if (host.readFile("missing")) |text| text else |_| host.refusal;
    return std.fmt.allocPrint(allocator, "{s}|{s}|{s}|{s}|{s}|{s}|{s},{s}|{s}|{s}", .{
        try host.readFile("a.txt"), refused,            try host.fetchUrl("https://x.example/"),
        try host.getSecret("KEY"),  try host.readEnv("LANG"), try host.execCommand("tool", &arguments),
        names[0],                   names[1],           notes[0],
        input,
    });
}
""",
    Language.C: """
#include "cyberos.h"
static byte out[1024];
static size at;
static void put(const byte *text, size length) {
  for (size index = 0; index < length; index += 1) out[at++] = text[index];
}
#define ARGUMENT(literal) (const byte *)(literal), sizeof(literal) - 1
static void tell(struct text text) { put(text.at, text.length); put((const byte *)"|", 1); }
struct answer skill_run(struct text input) {
  struct answer one;
  struct answers many, notes;
  const struct text arguments[] = {TEXT("one"), TEXT("hai")};
  host_log(ARGUMENT("a line"), &one);
  host_write_file(ARGUMENT("out.txt"), input.at, input.length, &one);
  host_list_dir(ARGUMENT("dir"), &many);
  host_recall_memory(ARGUMENT("query"), 7, &notes);
  host_read_file(ARGUMENT("a.txt"), &one); tell(one.text);
  host_read_file(ARGUMENT("missing"), &one); if (one.failed) tell(one.text);
  host_fetch_url(ARGUMENT("https://x.example/"), &one); tell(one.text);
  host_get_secret(ARGUMENT("KEY"), &one); tell(one.text);
  host_read_env(ARGUMENT("LANG"), &one); tell(one.text);
  host_exec_command(ARGUMENT("tool"), arguments, 2, &one); tell(one.text);
  put(many.at.texts[0].at, many.at.texts[0].length); put(ARGUMENT(","));
  put(many.at.texts[1].at, many.at.texts[1].length); put(ARGUMENT("|"));
  put(notes.at.texts[0].at, notes.at.texts[0].length); put(ARGUMENT("|"));
  put(input.at, input.length);
  return answer_with((struct text){out, at});
}
""",
}  # fmt: skip


def compiled(directory: Path, language: Language, source: str) -> bytes:
    (directory / "src").mkdir()
    (directory / language.entry).write_text(source, encoding="utf-8")
    return compile_native(directory, language, EVERYTHING, Steps(lambda _tool, _what: None)).component


FILES = {"a.txt": ("ok", "ạ"), "missing": ("err", "no such file")}


class Host:
    """Answers every function, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def link(self, linker: Linker) -> None:
        texts = {
            "read-file": lambda path: (
                Variant("err", "no such file") if path == "missing" else Variant("ok", "ạ")
            ),
            "fetch-url": lambda url: Variant("ok", f"body of {url}"),
            "get-secret": lambda name: Variant("ok", f"secret {name}"),
            "read-env": lambda name: Variant("ok", f"{name}=vi"),
            "exec-command": lambda name, arguments: Variant("ok", f"{name} {' '.join(arguments)}"),
            "list-dir": lambda path: [f"{path}/", "tệp.txt"],
            "recall-memory": lambda query, limit: [f"{query} {limit}"],
            "write-file": lambda path, content: None,
            "log": lambda message: None,
        }
        with linker.root() as root, root.add_instance(HOST) as instance:
            for name, answer in texts.items():
                instance.add_func(name, self._function(name, answer))

    def _function(self, name: str, answer: Any) -> Any:
        def function(_store: object, *arguments: object) -> object:
            self.asked.append((name, *arguments))
            return answer(*arguments)

        return function


@pytest.mark.parametrize("language", [Language.ZIG, Language.C])
def test_every_function_of_the_host_can_be_called(tmp_path: Path, language: Language) -> None:
    component = compiled(tmp_path, language, SOURCES[language])
    engine = wasmtime.Engine()
    linker, host = Linker(engine), Host()
    host.link(linker)
    store = wasmtime.Store(engine)
    run = linker.instantiate(store, Component(engine, component)).get_func(store, "run")
    assert run is not None
    answer = run(store, "đầu vào")
    assert answer == Variant(
        "ok",
        "ạ|no such file|body of https://x.example/|secret KEY|LANG=vi|tool one hai|"
        "dir/,tệp.txt|query 7|đầu vào",
    )
    assert {asked[0] for asked in host.asked} == set(FUNCTIONS)
    assert ("write-file", "out.txt", "đầu vào") in host.asked
    assert ("exec-command", "tool", ["one", "hai"]) in host.asked


@pytest.mark.parametrize("count", [0, 1, len(FUNCTIONS)])
def test_a_component_imports_no_more_than_it_was_made_with(tmp_path: Path, count: int) -> None:
    calls = [f"host_{name.replace('-', '_')}" for name in FUNCTIONS[:count]]
    source = '#include "cyberos.h"\n' + (
        "struct answer skill_run(struct text input) {\n"
        + "".join(f"  void *volatile kept_{call} = (void *){call}; (void)kept_{call};\n" for call in calls)
        + "  return answer_with(input);\n}\n"
    )
    component = compiled(tmp_path, Language.C, source)
    assert component_imports(component) == ([HOST] if count else [])
    found = Component(wasmtime.Engine(), component).type.imports(wasmtime.Engine())
    assert list(found) == ([HOST] if count else [])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ('(module (import "env" "f" (func)))', "the code needs env f, which a skill cannot import"),
        (f'(module (import "{HOST}" "format" (func)))', "which a skill cannot import"),
        (f'(module (import "{HOST}" "log" (memory 1)))', "which a skill cannot import"),
    ],
)
def test_other_imports_are_refused(module: str, message: str) -> None:
    with pytest.raises(AuthoringError, match=message):
        core_imports(bytes(wasmtime.wat2wasm(module)))


def test_what_is_no_component_is_refused() -> None:
    for data in (b"", b"\0asm", bytes(wasmtime.wat2wasm("(module)"))):
        with pytest.raises(AuthoringError, match="no component"):
            component_imports(data)


def test_a_component_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    component = component_around(
        bytes(
            wasmtime.wat2wasm(
                '(module (memory (export "memory") 1)'
                ' (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)'
                ' (func (export "run") (param i32 i32) (result i32) unreachable))'
            )
        ),
        (),
    )
    assert component_imports(component) == []
    refused = 0
    for length in range(8, len(component)):
        try:
            component_imports(component[:length])
        except AuthoringError:
            refused += 1
    assert refused > len(component) // 2
