"""Notices that skills changed on disk, by the kernel's notifications where it has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 100
"""How long changes are gathered at most before they are told."""

STEP_MS = 50
"""Changes are told when none came for this long."""

TICK_SECONDS = 2.0
"""How often roots are looked for that do not exist yet, or were replaced by other directories."""

POLL_SECONDS = 3.0
"""How often everything is looked at where the kernel does not notify."""

logger = logging.getLogger(__name__)


async def changes(roots: Sequence[Path], concerns: Callable[[str], bool]) -> AsyncGenerator[None, None]:
    """Yield whenever something may have changed below the roots, without end.

    `concerns` tells whether a change of the file or directory at a path can matter. Where watching fails,
    for want of watches or otherwise, it is said once, and everything may have changed every few seconds.
    """
    try:
        while True:
            async with aclosing(_until_roots_change(roots, concerns)) as found:
                async for _ in found:
                    yield
            yield
    except (OSError, RuntimeError) as error:
        logger.warning(
            "changes of skills are not notified (%s); they are looked for every %.0f s instead",
            error,
            POLL_SECONDS,
        )
    while True:
        await asyncio.sleep(POLL_SECONDS)
        yield


async def _until_roots_change(
    roots: Sequence[Path], concerns: Callable[[str], bool]
) -> AsyncGenerator[None, None]:
    identities = [_identity(root) for root in roots]
    present = [root for root, identity in zip(roots, identities, strict=True) if identity is not None]
    if not present:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if any(_identity(root) is not None for root in roots):
                return
    watching = awatch(
        *present,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=int(TICK_SECONDS * 1000),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    # Something may have changed after the last scan and before the watch was there.
    unseen = True
    async with aclosing(watching):
        async for found in watching:
            if unseen or any(concerns(path) for _, path in found):
                unseen = False
                yield
            if [_identity(root) for root in roots] != identities:
                return


def _identity(directory: Path) -> tuple[int, int] | None:
    """Tell directories apart that have the same path one after the other; None when there is none."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
