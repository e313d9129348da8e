// The order matters: the environment is in place before any module of the skill is evaluated.
import "./environment.ts";

export { guard, type Run } from "./guard.ts";
