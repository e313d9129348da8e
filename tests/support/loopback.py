"""Servers on loopback that answer as a test says, byte for byte, over TLS too."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HEAD_LIMIT = 64 * 1024
_SECONDS = 20.0  # a server's patience, so that no thread outlives its test by much

Reply = Callable[[bytes], bytes | Iterable[bytes]]
"""What a server sends for a request's head."""


@contextmanager
def serving(reply: Reply, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers each connection once and closes it; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(plain: socket.socket) -> None:
        with plain, suppress(OSError):
            plain.settimeout(_SECONDS)
            with plain if tls is None else tls.wrap_socket(plain, server_side=True) as connection:
                answered = reply(_head(connection))
                for piece in [answered] if isinstance(answered, bytes) else answered:
                    if ended.is_set():
                        break
                    connection.sendall(piece)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_LIMIT:
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    return head


def text_answer(text: str, *headers: str, status: str = "200 OK") -> bytes:
    """One answer of HTTP, with its length."""
    body = text.encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """An answer that leads elsewhere."""
    return text_answer("", f"Location: {location}", status=status)


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate for these names, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    place = folder / "certificate.pem"
    place.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, *private)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(place)
    return server, ssl.create_default_context(cafile=str(place))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
