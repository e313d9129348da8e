"""Which failures of PostgreSQL mean "try again later": they all become `StorageUnavailable`."""

from __future__ import annotations

import asyncpg

from subgraph.errors import StorageUnavailable

UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,  # refused, reset, no such socket; TimeoutError is one of them
    asyncpg.InterfaceError,  # the connection or pool is closed
    asyncpg.InternalClientError,  # the protocol broke off in the middle
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28, wrong password or role
    asyncpg.InvalidCatalogNameError,  # class 3D, no such database
    asyncpg.TransactionRollbackError,  # class 40, deadlock or serialisation failure
    asyncpg.ReadOnlySQLTransactionError,  # 25006, a primary became a standby
    asyncpg.InsufficientResourcesError,  # class 53, disk full, too many connections
    asyncpg.ObjectNotInPrerequisiteStateError,  # 55000, the database accepts no connections just now
    asyncpg.OperatorInterventionError,  # class 57, shutdown, starting up, statement timeout
    asyncpg.PostgresSystemError,  # class 58, input or output failed
    asyncpg.InternalServerError,  # class XX
)

# asyncpg reports an argument of the wrong type as an InterfaceError: that is our mistake, not an outage.
_MISUSE: tuple[type[Exception], ...] = (ValueError, TypeError)


def is_outage(error: BaseException) -> bool:
    """Tell whether the database failed, rather than the statement or its arguments."""
    return isinstance(error, UNAVAILABLE) and not isinstance(error, _MISUSE)


def unavailable(error: BaseException) -> StorageUnavailable:
    """Make the error that a caller sees, without details: a DSN or SQL may be part of them."""
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StorageUnavailable(
            "Others are using what this would change, so nothing was changed; try again."
        )
    return StorageUnavailable(
        f"The database cannot be reached ({type(error).__name__}), so nothing is run that could not be "
        "recorded; try again."
    )
