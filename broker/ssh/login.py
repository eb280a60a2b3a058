"""One login over an open line: host key, public key, one command, hang up.

Everything here blocks and belongs into a thread. Nothing here looks at an agent, at
`~/.ssh` or at files of known hosts, and no password is ever tried.
"""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from dataclasses import dataclass

import paramiko
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from paramiko.packet import Packetizer

from broker.ssh.dial import Line
from broker.ssh.errors import HostKeyChanged, NotYet, NotYetReason
from broker.ssh.keys import PUBLIC_KEY_TYPES, BadKey

MOST_OUTPUT = 256 * 1024
"""Bytes kept of each output stream. A machine that sends more is hung up on."""

CUT_SHORT = -1
_NO_EXIT_CODE = -1  # paramiko's word for it
_CHUNK = 32 * 1024
_STDERR_LOOK = 0.25
"""Seconds between looks at the error stream while the other one is silent."""

# The cheapest of the sound algorithms first; the rest is for old and unusual hosts.
_KEY_EXCHANGES = (
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group-exchange-sha256",
)
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_DIGESTS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class SshResult:
    """What a command said, and who said it."""

    exit_code: int
    """`CUT_SHORT` where the output was too long to wait for the end."""
    stdout: str
    stderr: str
    host_key: str
    """The server's, as `ssh-ed25519 AAAA…`."""


def run_command(
    line: Line, user: str, private_pem: str, command: str, host_keys: tuple[str, ...]
) -> SshResult:
    """Log in over `line`, run `command` and release the line.

    It lasts until one of both ends hangs up: the caller bounds the time by closing the
    line. `host_keys` are those that may answer; none: any. Raises `NotYet`,
    `HostKeyChanged`, and `BadKey` where `private_pem` is no key of ours.
    """
    expected = {bare_host_key(key) for key in host_keys}
    try:
        key = _private_key(private_pem)
        transport = _transport(line, expected)
        try:
            host_key = _handshake(transport, expected)
            _authenticate(transport, user, key)
            return SshResult(*_execute(transport, command), host_key)
        finally:
            transport.close()
            if transport.ident is not None:
                transport.join()  # it reads the line to the end
    finally:
        line.release()


def bare_host_key(text: str) -> str:
    """`ssh-ed25519 AAAA…` of a host key, also where it stands in a line of known_hosts."""
    words = text.split()
    start = next((n for n, word in enumerate(words) if word in PUBLIC_KEY_TYPES), 0)
    return " ".join(words[start : start + 2])


class _Packetizer(Packetizer):
    """Reads and writes packets, without a timer thread for every handshake."""

    def start_handshake(self, timeout: float) -> None:
        """Nothing: whoever opened the line bounds the time of all of it."""


class _Transport(paramiko.Transport):
    """Computes only when it is its turn.

    Python runs one thread at a time anyway; threads that queue here do not stand
    between the event loop and the interpreter.
    """

    def __init__(self, line: Line) -> None:
        super().__init__(line, packetizer_class=_Packetizer)
        self._line = line

    def run(self) -> None:
        with _TURN:
            self._line.take_turns(_TURN)
            super().run()


def _private_key(pem: str) -> paramiko.PKey:
    try:
        if "BEGIN RSA" not in pem:
            return paramiko.Ed25519Key.from_private_key(io.StringIO(pem))
        # We made it. Proving its primes again would stop every thread for a third of a second.
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (paramiko.SSHException, ValueError, IndexError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise BadKey("The private key to log in with is damaged or of an unknown kind.")
    return paramiko.RSAKey(key=key)


def _transport(line: Line, expected: set[str]) -> _Transport:
    transport = _Transport(line)
    options = transport.get_security_options()
    options.kex = _KEY_EXCHANGES
    options.ciphers = _CIPHERS
    options.digests = _DIGESTS
    # A server with several host keys must show the one that was seen before.
    kinds = {"rsa-sha2" if key.startswith("ssh-rsa ") else key.split(" ")[0] for key in expected}
    options.key_types = tuple(
        sorted(_HOST_KEYS, key=lambda name: not name.startswith(tuple(kinds)))
    )
    return transport


def _handshake(transport: paramiko.Transport, expected: set[str]) -> str:
    try:
        transport.start_client()
        key = transport.get_remote_server_key()
    except (EOFError, OSError):
        raise NotYet(NotYetReason.CLOSED) from None
    except Exception as error:  # whatever paramiko makes of a stranger's bytes
        raise NotYet(NotYetReason.NO_AGREEMENT) from error
    host_key = f"{key.get_name()} {key.get_base64()}"
    if expected and host_key not in expected:
        raise HostKeyChanged
    return host_key


def _authenticate(transport: paramiko.Transport, user: str, key: paramiko.PKey) -> None:
    try:
        still_needed = transport.auth_publickey(user, key)
    except Exception as error:
        is_refusal = isinstance(error, paramiko.AuthenticationException) and transport.is_active()
        reason = NotYetReason.KEY_REFUSED if is_refusal else NotYetReason.CLOSED
        raise NotYet(reason) from error
    if still_needed:
        raise NotYet(NotYetReason.KEY_REFUSED)


def _execute(transport: paramiko.Transport, command: str) -> tuple[int, str, str]:
    try:
        # A window of what is kept at most: nobody can fill our memory.
        channel = transport.open_session(window_size=2 * MOST_OUTPUT)
        channel.exec_command(command)
        channel.shutdown_write()
        return _read(channel)
    except (EOFError, OSError):
        raise NotYet(NotYetReason.CLOSED) from None
    except Exception as error:
        raise NotYet(NotYetReason.SESSION_REFUSED) from error


def _read(channel: paramiko.Channel) -> tuple[int, str, str]:
    stdout, stderr = bytearray(), bytearray()
    channel.settimeout(_STDERR_LOOK)
    is_over = False
    while not is_over and len(stdout) < MOST_OUTPUT and len(stderr) < MOST_OUTPUT:
        with suppress(TimeoutError):
            chunk = channel.recv(_CHUNK)
            stdout += chunk
            is_over = not chunk
        while channel.recv_stderr_ready():
            stderr += channel.recv_stderr(_CHUNK)
    if not is_over:
        return CUT_SHORT, _text(stdout), _text(stderr)
    exit_code = channel.recv_exit_status()
    if exit_code == _NO_EXIT_CODE:
        raise EOFError  # cut off or killed: half an answer is none
    return exit_code, _text(stdout), _text(stderr)


def _text(output: bytearray) -> str:
    return output[:MOST_OUTPUT].decode("utf-8", "replace")
