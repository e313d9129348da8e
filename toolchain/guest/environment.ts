// Removes from the guest what would trap, or would repeat on every call.
//
// A component without WASI has no clock: reading one aborts the call with a backtrace instead of an error
// that names the cause. Its random numbers start from a seed frozen at build time, so they are the same in
// every call. Each of them throws here, at build time too if a skill asks while its modules load.

function refuse(name: string, instead: string): () => never {
  return () => {
    throw new Error(`${name} is not available to a skill: ${instead}`);
  };
}

function replace(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: false, enumerable: false, configurable: false });
}

const TAKE_TIME = "take the time as input";
const TAKE_SEED = "take a seed as input";

const EngineDate = Date;
const ArgumentDate = new Proxy(EngineDate, {
  apply: refuse("Date()", TAKE_TIME),
  construct(target, given: unknown[], newTarget): object {
    if (given.length === 0) refuse("new Date()", TAKE_TIME)();
    return Reflect.construct(target, given, newTarget) as object;
  },
});

replace(EngineDate, "now", refuse("Date.now()", TAKE_TIME));
replace(EngineDate.prototype, "constructor", ArgumentDate);
replace(globalThis, "Date", ArgumentDate);
replace(globalThis, "performance", Object.freeze({ now: refuse("performance.now()", TAKE_TIME) }));
replace(Math, "random", refuse("Math.random()", TAKE_SEED));

// QuickJS has no console at all: "console is not defined" would send its reader looking for a polyfill.
const NO_CONSOLE = refuse("console", "put what you want to tell into the answer");
replace(globalThis, "console", new Proxy({}, { get: NO_CONSOLE }));

export {};
