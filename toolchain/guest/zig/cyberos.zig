//! What a skill written in Zig may use: memory, the host's functions, and a way to say why it failed.

const std = @import("std");

/// Memory that is never freed: every call has a store of its own.
pub const allocator = std.heap.wasm_allocator;

/// The error of a skill that has said by `fail` what is wrong.
pub const Failure = error{SkillFailed};

/// The service did not do what was asked; `refusal` says why.
pub const HostError = error{HostRefused};

pub var reason: ?[]const u8 = null;

/// What the service said when it last refused something. It is for the skill, not for its caller.
pub var refusal: []const u8 = "";

/// Ends the call with an error message for the caller: `return cyberos.fail("name is missing", .{});`
pub fn fail(comptime format: []const u8, arguments: anytype) Failure {
    reason = std.fmt.allocPrint(allocator, format, arguments) catch "out of memory";
    return error.SkillFailed;
}

/// The text of a file.
pub fn readFile(path: []const u8) HostError![]const u8 {
    var result: Result = undefined;
    imports.@"read-file"(path.ptr, path.len, &result);
    return result.text();
}

/// Replaces a file, or makes it; whole or not at all.
pub fn writeFile(path: []const u8, content: []const u8) HostError!void {
    var result: Result = undefined;
    imports.@"write-file"(path.ptr, path.len, content.ptr, content.len, &result);
    try result.nothing();
}

/// The names in a directory, sorted; directories end with `/`.
pub fn listDir(path: []const u8) HostError![]const []const u8 {
    var result: Result = undefined;
    imports.@"list-dir"(path.ptr, path.len, &result);
    return result.texts();
}

/// The body of the answer to a GET.
pub fn fetchUrl(url: []const u8) HostError![]const u8 {
    var result: Result = undefined;
    imports.@"fetch-url"(url.ptr, url.len, &result);
    return result.text();
}

/// A secret of the operator.
pub fn getSecret(name: []const u8) HostError![]const u8 {
    var result: Result = undefined;
    imports.@"get-secret"(name.ptr, name.len, &result);
    return result.text();
}

/// A variable of the service's environment.
pub fn readEnv(name: []const u8) HostError![]const u8 {
    var result: Result = undefined;
    imports.@"read-env"(name.ptr, name.len, &result);
    return result.text();
}

/// Passages of the operator's notes, the best first.
pub fn recallMemory(query: []const u8, limit: u32) HostError![]const []const u8 {
    var result: Result = undefined;
    imports.@"recall-memory"(query.ptr, query.len, limit, &result);
    return result.texts();
}

/// What a command of the operator prints.
pub fn execCommand(name: []const u8, arguments: []const []const u8) HostError![]const u8 {
    const list = allocator.alloc(Text, arguments.len) catch return refuse("out of memory");
    for (arguments, list) |argument, *item| item.* = .{ .at = argument.ptr, .length = argument.len };
    var result: Result = undefined;
    imports.@"exec-command"(name.ptr, name.len, list.ptr, list.len, &result);
    return result.text();
}

/// A line for the service's log.
pub fn log(message: []const u8) HostError!void {
    var result: Result = undefined;
    imports.log(message.ptr, message.len, &result);
    try result.nothing();
}

fn refuse(why: []const u8) HostError {
    refusal = why;
    return error.HostRefused;
}

/// A string as the canonical ABI lays it out.
const Text = extern struct { at: [*]const u8, length: usize };

/// A result whose two cases take the same room: text, a list, or nothing, or else the text of an error.
const Result = extern struct {
    failed: u8,
    at: [*]const u8,
    length: usize,

    fn nothing(self: Result) HostError!void {
        if (self.failed != 0) return refuse(self.at[0..self.length]);
    }

    fn text(self: Result) HostError![]const u8 {
        try self.nothing();
        return self.at[0..self.length];
    }

    fn texts(self: Result) HostError![]const []const u8 {
        try self.nothing();
        const list: [*]const Text = @ptrCast(@alignCast(self.at));
        const names = allocator.alloc([]const u8, self.length) catch return refuse("out of memory");
        for (names, list[0..self.length]) |*name, item| name.* = item.at[0..item.length];
        return names;
    }
};

/// What is never called is not imported.
const imports = struct {
    extern "cyberos:skill/host@0.1.0" fn @"read-file"([*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"write-file"([*]const u8, usize, [*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"list-dir"([*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"fetch-url"([*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"get-secret"([*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"read-env"([*]const u8, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"recall-memory"([*]const u8, usize, u32, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn @"exec-command"([*]const u8, usize, [*]const Text, usize, *Result) void;
    extern "cyberos:skill/host@0.1.0" fn log([*]const u8, usize, *Result) void;
};
