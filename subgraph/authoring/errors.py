"""What goes wrong for an author of skills."""


class AuthoringError(Exception):
    """A skill cannot be made or built as it is; the message is for its author."""
