"""How a skill runs: one way in (`invoker`), and confined processes behind it.

`zygote`, `worker`, `engine`, `compilation` and `confinement` run in processes of their own, which hold
no secret and import nothing else of the service.
"""
