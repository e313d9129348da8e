"""How a skill runs: one way in (`invoker`), and confined processes behind it.

`zygote`, `worker`, `engine` and what they import run in processes of their own, which hold no secret and
know nothing of the service. `compilation` is both: the service's side of the compiler, and its process.
"""
