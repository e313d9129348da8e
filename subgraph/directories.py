"""The directories that settings name: made before anything starts, or refused by the name of the setting."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from subgraph.settings import Settings

logger = logging.getLogger(__name__)


def prepare_directories(settings: Settings) -> None:
    """Make the directories that the service writes to, and warn of others that are not there.

    Raises `ValueError` for one that cannot be made or written to. It names the setting: a file below the
    directory, which is what a part of the service fails at, says nothing to whoever set it.
    """
    home = "CYBEROS_HOME"
    _make(home, settings.home, 0o777)  # as the umask has it; what is private below it is so by itself
    _make(home if settings.workspace is None else "CYBEROS_WORKSPACE", settings.workspace_dir, 0o700)
    _make(home if settings.audit_keys_dir is None else "CYBEROS_AUDIT_KEYS_DIR", settings.audit_keys, 0o700)
    of_checkpoints = home if settings.checkpoint_dir is None else "CYBEROS_CHECKPOINT_DIR"
    _make(of_checkpoints, settings.checkpoints, 0o755)
    _check_writable(of_checkpoints, settings.checkpoints)
    if not any(settings.audit_keys.glob("*.key")):  # those that are there are read alone
        _check_writable(
            home if settings.audit_keys_dir is None else "CYBEROS_AUDIT_KEYS_DIR", settings.audit_keys
        )
    if settings.database_url is None and settings.postgres_dir.parent == settings.home:
        _check_writable(home, settings.home)
    _warn_of_missing(settings)


def _make(setting: str, directory: Path, mode: int) -> None:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{setting}: {directory} is no directory") from None
    except OSError as error:
        raise ValueError(f"{setting}: {directory} cannot be made: {error.strerror}") from error


def _check_writable(setting: str, directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise ValueError(f"{setting}: {directory} cannot be written to by this account, or at all")


def _warn_of_missing(settings: Settings) -> None:
    """Say which directories that are only read are not there: nothing is found in them, no more."""
    named = {
        "CYBEROS_SECRETS_DIR": (settings.secrets_dir, "no secret"),
        "CYBEROS_MEMORY_DIR": (settings.memory_dir, "no note"),
        "CYBEROS_COMMANDS_DIR": (settings.commands_dir, "no program"),
    }
    for setting, (directory, what) in named.items():
        # Of `os.path`, which takes what may not be looked at for absent; that of `Path` raises.
        if directory is not None and not os.path.isdir(directory):  # noqa: PTH112
            logger.warning("%s: %s is no directory: %s is found there", setting, directory, what)
