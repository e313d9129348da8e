"""How the sources of attempts are written: the body of a function that returns what it got.

A first line `# words` says what is granted (`read`, `write`: the directory where the script starts) and when
it cannot be shown without confinement: `root` alone may do it on every system, it would be `unsafe` or need
what is not on every machine, or it needs a `worker`.
"""

READ, WRITE = "read", "write"
ROOT, UNSAFE, WORKER = "root", "unsafe", "worker"
