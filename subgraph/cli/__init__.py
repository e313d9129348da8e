"""`cyberos-skill-cli`: the service at a shell, for the operator whose account runs it."""
