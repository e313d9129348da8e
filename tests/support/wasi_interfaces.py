"""What a guest can import, as tables: the types in WAT, and of each function its signatures in both ABIs."""

from __future__ import annotations

from typing import NamedTuple


class Function(NamedTuple):
    """An imported function: its name in the interface, its type, and the core types of its parameters.

    Parameters are one letter each, `i` for i32 and `I` for i64; the last one is the address of the result,
    unless `returns` says that it is an i32 of its own. The error of a `result` lies `error_at` bytes from
    its start.
    """

    name: str
    type: str
    parameters: str
    error_at: int = 1
    returns: bool = False


class Interface(NamedTuple):
    """An instance to import: the types that others take from it, its own, and its functions."""

    name: str
    types: str
    functions: dict[str, Function]
    exported: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


ERRORS = (
    "access", "would-block", "already", "bad-descriptor", "busy", "deadlock", "quota", "exist",
    "file-too-large", "illegal-byte-sequence", "in-progress", "interrupted", "invalid", "io", "is-directory",
    "loop", "too-many-links", "message-size", "name-too-long", "no-device", "no-entry", "no-lock",
    "insufficient-memory", "insufficient-space", "not-directory", "not-empty", "not-recoverable",
    "unsupported", "no-tty", "no-such-device", "overflow", "not-permitted", "pipe", "read-only",
    "invalid-seek", "text-file-busy", "cross-device",
)  # fmt: skip
"""`error-code` of wasi:filesystem/types."""

SOCKET_ERRORS = (
    "unknown", "access-denied", "not-supported", "invalid-argument", "out-of-memory", "timeout",
    "concurrency-conflict", "not-in-progress", "would-block", "invalid-state", "new-socket-limit",
    "address-not-bindable", "address-in-use", "remote-unreachable", "connection-refused",
    "connection-reset", "connection-aborted", "datagram-too-large", "name-unresolvable",
    "temporary-resolver-failure", "permanent-resolver-failure",
)  # fmt: skip
"""`error-code` of wasi:sockets/network."""


def _words(names: tuple[str, ...] | str) -> str:
    return " ".join(f'"{name}"' for name in (names.split() if isinstance(names, str) else names))


def _named(name: str, definition: str) -> str:
    """Define a type and export it, as an instance has to with what its functions use."""
    return f'(type ${name}_ {definition}) (export "{name}" (type ${name} (eq ${name}_)))'


def _resource(name: str) -> str:
    return f'(export "{name}" (type ${name} (sub resource)))'


def _outer(name: str) -> str:
    return f"(alias outer 1 ${name} (type ${name}))"


def _method(resource: str, name: str, parameters: str, result: str) -> tuple[str, str]:
    return f"[method]{resource}.{name}", f'(param "self" (borrow ${resource})) {parameters} (result {result})'


def _on_descriptor(
    name: str, parameters: str, result: str, core: str, error_at: int = 1, *, returns: bool = False
) -> Function:
    full, type_ = _method("descriptor", name, parameters, result)
    return Function(full, type_, core, error_at, returns)


def _result(ok: str = "", error: str = "$error-code") -> str:
    return f"(result {ok} (error {error}))"


_PATH = '(param "path" string)'
_FOLLOW = '(param "path-flags" $path-flags)'
_TIMES = '(param "data-access-timestamp" $new-timestamp) (param "data-modification-timestamp" $new-timestamp)'

_FILES = {
    "open-at": _on_descriptor(
        "open-at",
        f'{_FOLLOW} {_PATH} (param "open-flags" $open-flags) (param "flags" $descriptor-flags)',
        _result("(own $descriptor)"), "iiiiiii", 4,
    ),
    "read": _on_descriptor(
        "read", '(param "length" u64) (param "offset" u64)', _result("(tuple (list u8) bool)"), "iIIi", 4
    ),
    "write": _on_descriptor(
        "write", '(param "buffer" (list u8)) (param "offset" u64)', _result("u64"), "iiiIi", 8
    ),
    "read-directory": _on_descriptor(
        "read-directory", "", _result("(own $directory-entry-stream)"), "ii", 4
    ),
    "next-entry": Function(
        *_method("directory-entry-stream", "read-directory-entry", "", _result("(option $directory-entry)")),
        "ii", 4,
    ),
    "readlink-at": _on_descriptor("readlink-at", _PATH, _result("string"), "iiii", 4),
    "symlink-at": _on_descriptor(
        "symlink-at", '(param "old-path" string) (param "new-path" string)', _result(), "iiiiii"
    ),
    "link-at": _on_descriptor(
        "link-at",
        '(param "old-path-flags" $path-flags) (param "old-path" string)'
        ' (param "new-descriptor" (borrow $descriptor)) (param "new-path" string)',
        _result(), "iiiiiiii",
    ),
    "rename-at": _on_descriptor(
        "rename-at",
        '(param "old-path" string) (param "new-descriptor" (borrow $descriptor)) (param "new-path" string)',
        _result(), "iiiiiii",
    ),
    "create-directory-at": _on_descriptor("create-directory-at", _PATH, _result(), "iiii"),
    "unlink-file-at": _on_descriptor("unlink-file-at", _PATH, _result(), "iiii"),
    "remove-directory-at": _on_descriptor("remove-directory-at", _PATH, _result(), "iiii"),
    "set-times-at": _on_descriptor("set-times-at", f"{_FOLLOW} {_PATH} {_TIMES}", _result(), "iiiiiIiiIii"),
    "set-times": _on_descriptor("set-times", _TIMES, _result(), "iiIiiIii"),
    "set-size": _on_descriptor("set-size", '(param "size" u64)', _result(), "iIi"),
    "stat-at": _on_descriptor("stat-at", f"{_FOLLOW} {_PATH}", _result("$descriptor-stat"), "iiiii", 8),
    "stat": _on_descriptor("stat", "", _result("$descriptor-stat"), "ii", 8),
    "metadata-hash-at": _on_descriptor(
        "metadata-hash-at", f"{_FOLLOW} {_PATH}", _result("$metadata-hash-value"), "iiiii", 8
    ),
    "advise": _on_descriptor(
        "advise", '(param "offset" u64) (param "length" u64) (param "advice" $advice)', _result(), "iIIii"
    ),
    "sync": _on_descriptor("sync", "", _result(), "ii"),
    "get-flags": _on_descriptor("get-flags", "", _result("$descriptor-flags"), "ii"),
    "is-same-object": _on_descriptor(
        "is-same-object", '(param "other" (borrow $descriptor))', "bool", "ii", returns=True
    ),
    "write-via-stream": _on_descriptor(
        "write-via-stream", '(param "offset" u64)', _result("(own $output-stream)"), "iIi", 4
    ),
    "append-via-stream": _on_descriptor(
        "append-via-stream", "", _result("(own $output-stream)"), "ii", 4
    ),
    "read-via-stream": _on_descriptor(
        "read-via-stream", '(param "offset" u64)', _result("(own $input-stream)"), "iIi", 4
    ),
}  # fmt: skip

_FILE_TYPES = "\n".join(
    [
        *map(_outer, ("datetime", "input-stream", "output-stream")),
        _resource("descriptor"),
        _resource("directory-entry-stream"),
        _named("error-code", f"(enum {_words(ERRORS)})"),
        _named("path-flags", '(flags "symlink-follow")'),
        _named("open-flags", f"(flags {_words('create directory exclusive truncate')})"),
        _named(
            "descriptor-flags",
            f"(flags {_words('read write file-integrity-sync data-integrity-sync')}"
            f" {_words('requested-write-sync mutate-directory')})",
        ),
        _named(
            "descriptor-type",
            f"(enum {_words('unknown block-device character-device directory fifo symbolic-link')}"
            f" {_words('regular-file socket')})",
        ),
        _named("directory-entry", '(record (field "type" $descriptor-type) (field "name" string))'),
        _named(
            "new-timestamp", '(variant (case "no-change") (case "now") (case "timestamp" $datetime))'
        ),
        _named(
            "descriptor-stat",
            '(record (field "type" $descriptor-type) (field "link-count" u64) (field "size" u64)'
            ' (field "data-access-timestamp" (option $datetime))'
            ' (field "data-modification-timestamp" (option $datetime))'
            ' (field "status-change-timestamp" (option $datetime)))',
        ),
        _named("metadata-hash-value", '(record (field "lower" u64) (field "upper" u64))'),
        _named(
            "advice", f"(enum {_words('normal sequential random will-need dont-need no-reuse')})"
        ),
    ]
)  # fmt: skip

_ADDRESS_TYPES = "\n".join(
    [
        _resource("network"),
        _named("error-code", f"(enum {_words(SOCKET_ERRORS)})"),
        _named("ip-address-family", '(enum "ipv4" "ipv6")'),
        _named("ipv4-address", "(tuple u8 u8 u8 u8)"),
        _named("ipv6-address", "(tuple u16 u16 u16 u16 u16 u16 u16 u16)"),
        _named("ipv4-socket-address", '(record (field "port" u16) (field "address" $ipv4-address))'),
        _named(
            "ipv6-socket-address",
            '(record (field "port" u16) (field "flow-info" u32) (field "address" $ipv6-address)'
            ' (field "scope-id" u32))',
        ),
        _named(
            "ip-socket-address",
            '(variant (case "ipv4" $ipv4-socket-address) (case "ipv6" $ipv6-socket-address))',
        ),
    ]
)

_NETWORK = ("network", "error-code", "ip-address-family", "ip-socket-address")
_SOCKET_OUTER = "".join(f"(alias outer 1 $network-{name} (type ${name}))" for name in _NETWORK)
_ADDRESS = "i" * 12


def _socket_method(resource: str, name: str, address: str) -> Function:
    parameters = f'(param "network" (borrow $network)) (param "{address}" $ip-socket-address)'
    return Function(*_method(resource, name, parameters, _result()), "ii" + _ADDRESS + "i")


def _creates(kind: str) -> Interface:
    made = Function(
        f"create-{kind}-socket",
        f'(param "address-family" $ip-address-family) (result {_result(f"(own ${kind}-socket)")})',
        "ii",
        4,
    )
    return Interface(
        f"wasi:sockets/{kind}-create-socket@0.2.0",
        _SOCKET_OUTER
        + f'(alias outer 1 ${kind}-socket (type $s)) (export "{kind}-socket" (type ${kind}-socket (eq $s)))',
        {f"create-{kind}-socket": made},
    )


ENTRIES = "(list (tuple string string))"

INTERFACES: dict[str, Interface] = {
    "error": Interface("wasi:io/error@0.2.0", _resource("error"), {}, ("error",)),
    "streams": Interface(
        "wasi:io/streams@0.2.0",
        "(alias outer 1 $error (type $outer)) "
         '(export "error" (type $error (eq $outer))) '
        + _resource("input-stream")
        + _resource("output-stream")
        + _named("stream-error", '(variant (case "last-operation-failed" (own $error)) (case "closed"))'),
        {
            "stream-read": Function(
                *_method("input-stream", "blocking-read", '(param "len" u64)',
                         _result("(list u8)", "$stream-error")), "iIi", 4
            ),
            "stream-write": Function(
                *_method("output-stream", "blocking-write-and-flush", '(param "contents" (list u8))',
                         _result("", "$stream-error")), "iiii", 4
            ),
        },
        ("input-stream", "output-stream"),
        ("input-stream", "output-stream"),
    ),
    "wall": Interface(
        "wasi:clocks/wall-clock@0.2.0",
        _named("datetime", '(record (field "seconds" u64) (field "nanoseconds" u32))'),
        {"now": Function("now", "(result $datetime)", "i")},
        ("datetime",),
    ),
    "types": Interface(
        "wasi:filesystem/types@0.2.0", _FILE_TYPES, _FILES, ("descriptor", "directory-entry-stream"),
        ("descriptor", "directory-entry-stream"),
    ),
    "preopens": Interface(
        "wasi:filesystem/preopens@0.2.0",
        '(alias outer 1 $descriptor (type $d)) (export "descriptor" (type $descriptor (eq $d)))',
        {"get-directories": Function(
            "get-directories", "(result (list (tuple (own $descriptor) string)))", "i")},
    ),
    "environment": Interface(
        "wasi:cli/environment@0.2.0", "",
        {
            "get-environment": Function("get-environment", f"(result {ENTRIES})", "i"),
            "get-arguments": Function("get-arguments", "(result (list string))", "i"),
            "initial-cwd": Function("initial-cwd", "(result (option string))", "i"),
        },
    ),
    "stdin": Interface(
        "wasi:cli/stdin@0.2.0",
        '(alias outer 1 $input-stream (type $i)) (export "input-stream" (type $input-stream (eq $i)))',
        {"get-stdin": Function("get-stdin", "(result (own $input-stream))", "", returns=True)},
    ),
    "random": Interface(
        "wasi:random/random@0.2.0", "",
        {"get-random-bytes": Function("get-random-bytes", '(param "len" u64) (result (list u8))', "Ii")},
    ),
    "network": Interface("wasi:sockets/network@0.2.0", _ADDRESS_TYPES, {}, _NETWORK),
    "instance-network": Interface(
        "wasi:sockets/instance-network@0.2.0",
        '(alias outer 1 $network-network (type $n)) (export "network" (type $network (eq $n)))',
        {"instance-network": Function("instance-network", "(result (own $network))", "", returns=True)},
    ),
    "tcp": Interface(
        "wasi:sockets/tcp@0.2.0", _SOCKET_OUTER + _resource("tcp-socket"),
        {
            "tcp-bind": _socket_method("tcp-socket", "start-bind", "local-address"),
            "tcp-connect": _socket_method("tcp-socket", "start-connect", "remote-address"),
        },
        ("tcp-socket",),
    ),
    "tcp-create": _creates("tcp"),
    "udp": Interface(
        "wasi:sockets/udp@0.2.0", _SOCKET_OUTER + _resource("udp-socket"),
        {"udp-bind": _socket_method("udp-socket", "start-bind", "local-address")},
        ("udp-socket",),
    ),
    "udp-create": _creates("udp"),
    "lookup": Interface(
        "wasi:sockets/ip-name-lookup@0.2.0", _SOCKET_OUTER + _resource("resolve-address-stream"),
        {"resolve-addresses": Function(
            "resolve-addresses",
            '(param "network" (borrow $network)) (param "name" string)'
            f" (result {_result('(own $resolve-address-stream)')})", "iiii", 4)},
    ),
    "host": Interface(
        "cyberos:skill/host@0.1.0", "",
        {
            "host-log": Function(
                "log", f'(param "message" string) (result {_result("", "string")})', "iii", 4),
            "host-read-file": Function(
                "read-file", f'{_PATH} (result {_result("string", "string")})', "iii", 4),
            "host-write-file": Function(
                "write-file",
                f'{_PATH} (param "content" string) (result {_result("", "string")})', "iiiii", 4),
            "host-fetch-url": Function(
                "fetch-url", f'(param "url" string) (result {_result("string", "string")})', "iii", 4),
            "host-exec-command": Function(
                "exec-command",
                '(param "name" string) (param "arguments" (list string))'
                f' (result {_result("string", "string")})', "iiiii", 4),
        },
    ),
}  # fmt: skip
"""By a short name, in the order in which one refers to another."""

FILES = ("error", "streams", "wall", "types", "preopens")
NETWORK = ("network", "instance-network", "tcp", "tcp-create", "udp", "udp-create", "lookup")
AROUND = ("error", "streams", "environment", "stdin", "random")
HOST = ("host",)
