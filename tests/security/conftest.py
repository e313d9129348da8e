"""What the tests of this directory need not have: the authorities of the system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def trusts_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have OpenSSL find no authority. No host here is one of theirs, and each of a thousand services of the
    host would read them all anew, in 30 ms."""
    none = tmp_path_factory.mktemp("authorities")
    (none / "none.pem").touch()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(none / "none.pem"))
        patched.setenv("SSL_CERT_DIR", str(none))
        yield
