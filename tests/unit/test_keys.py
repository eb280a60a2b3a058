"""Keys: the pairs that are made, the keys that consumers bring, the broker's own."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import StartupError
from broker.model import KeyType
from broker.ssh.keys import BadKey, KeyPair, generate, load_or_create, parse_public_key

RSA_2048 = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def openssh(key: object) -> str:
    """The public line of a private key, without a comment."""
    public = key.public_key()  # type: ignore[attr-defined]
    return str(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


# Names of tests contain it, and processes that share the tests must agree about those.
ED25519 = openssh(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))


def is_same(one: KeyPair, other: KeyPair) -> bool:
    """Whether two pairs are one; a failing test then prints no private key."""
    return one == other


def security_key() -> str:
    """The public line of an Ed25519 key that lives in a hardware token."""
    kind = b"sk-ssh-ed25519@openssh.com"
    point = base64.b64decode(ED25519.split()[1])[-32:]
    fields = (kind, point, b"ssh:")
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


class TestGenerate:
    """Pairs made for consumers."""

    def test_an_ed25519_pair_is_openssh_text_whose_halves_belong_together(self) -> None:
        """OpenSSH must be able to use the private half as it is."""
        pair = generate(KeyType.ED25519, "sess-abc")
        assert pair.private_pem.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        private = load_ssh_private_key(pair.private_pem.encode(), password=None)
        assert pair.public_line == f"{openssh(private)} sess-abc"

    def test_an_rsa_pair_is_pkcs1_text_of_4096_bits_whose_halves_belong_together(self) -> None:
        """The form that old tools read, at full strength."""
        pair = generate(KeyType.RSA, "sess-abc")
        assert pair.private_pem.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
        private = load_pem_private_key(pair.private_pem.encode(), password=None)
        assert isinstance(private, rsa.RSAPrivateKey)
        assert private.key_size == 4096
        assert pair.public_line == f"{openssh(private)} sess-abc"

    def test_two_pairs_are_different(self) -> None:
        """A key is never used twice."""
        lines = {generate(KeyType.ED25519, "a").public_line for _ in range(2)}
        assert len(lines) == 2

    def test_a_pair_shows_only_its_public_half(self) -> None:
        """What is printed by accident must open nothing."""
        pair = generate(KeyType.ED25519, "a")
        assert repr(pair) == f"KeyPair(public_line={pair.public_line!r})"

    def test_a_comment_that_would_break_the_line_is_left_out(self) -> None:
        """A second line in authorized_keys would be a second key."""
        assert "\n" not in generate(KeyType.ED25519, "a\nssh-rsa AAAA").public_line


class TestParsePublicKey:
    """Keys that consumers bring."""

    @pytest.mark.parametrize(
        "line",
        [
            ED25519,
            openssh(RSA_2048),
            openssh(ec.generate_private_key(ec.SECP256R1())),
            openssh(ec.generate_private_key(ec.SECP384R1())),
            openssh(ec.generate_private_key(ec.SECP521R1())),
            security_key(),
        ],
        ids=["ed25519", "rsa", "nistp256", "nistp384", "nistp521", "security key"],
    )
    def test_every_sound_type_is_taken_as_it_is(self, line: str) -> None:
        """What ssh-keygen makes today must be usable."""
        assert parse_public_key(line) == line
        assert parse_public_key(f"{line} alice@laptop") == f"{line} alice@laptop"

    def test_white_space_around_and_between_is_normalised(self) -> None:
        """Files end with a line feed, and people paste."""
        kind, blob = ED25519.split()
        assert parse_public_key(f"  {kind}\t {blob}   my laptop \r\n") == f"{ED25519} my laptop"

    @pytest.mark.parametrize("comment", ["bell \a", "x" * 129], ids=["unprintable", "endless"])
    def test_an_odd_comment_is_left_out(self, comment: str) -> None:
        """The key is good; its comment goes to terminals and scripts."""
        assert parse_public_key(f"{ED25519} {comment}") == ED25519

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "ssh-ed25519",
            "ssh-ed25519 not!base64",
            f"ssh-rsa {ED25519.split()[1]}",
            f"{ED25519[:-8]}",
            f"ssh-ed25519 {base64.b64encode(base64.b64decode(ED25519.split()[1]) + b'x').decode()}",
            ED25519.split()[1],
            f'command="reboot" {ED25519}',
            f"no-pty {ED25519}",
            f"{ED25519}\n{ED25519}",
            f"{ED25519}\u2028{ED25519}",
            openssh(rsa.generate_private_key(65537, 1024)),  # noqa: S505
            f"ssh-dss {base64.b64encode(b'ssh-dss and numbers').decode()}",
            f"ssh-ed25519-cert-v01@openssh.com {ED25519.split()[1]}",
            f"{ED25519} {'x' * 20_000}",
        ],
    )
    def test_anything_else_is_refused(self, line: str) -> None:
        """Options run commands, weak keys let others in, and half a key lets nobody in."""
        with pytest.raises(BadKey):
            parse_public_key(line)

    def test_a_private_key_is_refused_and_not_repeated(self) -> None:
        """Somebody will paste the wrong file; the error may be logged and shown."""
        secret = generate(KeyType.ED25519, "a").private_pem
        with pytest.raises(BadKey, match=r"\.pub") as refusal:
            parse_public_key(secret)
        assert not any(line in str(refusal.value) for line in secret.splitlines())

    def test_a_refusal_never_quotes_the_key(self) -> None:
        """Not even a damaged one."""
        blob = ED25519.split()[1]
        with pytest.raises(BadKey) as refusal:
            parse_public_key(f"ssh-rsa {blob}")
        assert blob not in str(refusal.value)
        assert refusal.value.__suppress_context__

    @given(st.text() | st.text().map(lambda text: f"ssh-ed25519 {text}"))
    def test_any_text_is_refused_in_one_way(self, text: str) -> None:
        """What a client sends must never be an internal error."""
        with pytest.raises(BadKey):
            parse_public_key(text)


class TestOwnKey:
    """The broker's own key in its file."""

    def test_it_is_made_once_and_then_read(self, tmp_path: Path) -> None:
        """Machines that were rented before a restart must still let the broker in."""
        path = tmp_path / "data" / "broker-key"
        made = load_or_create(path)
        assert is_same(load_or_create(path), made)
        assert made.public_line.split()[::2] == ["ssh-ed25519", "gpu-broker"]

    def test_its_file_is_for_the_owner_only_and_stands_alone(self, tmp_path: Path) -> None:
        """Nobody else reads it, and no copy is left behind."""
        path = tmp_path / "broker-key"
        load_or_create(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]

    def test_a_file_that_others_may_read_is_closed_to_them(self, tmp_path: Path) -> None:
        """A restored backup must not stop the broker, nor stay open."""
        path = tmp_path / "broker-key"
        made = load_or_create(path)
        path.chmod(0o644)
        assert is_same(load_or_create(path), made)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        "content",
        ["", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "rsa"],
        ids=["empty", "other text", "half a key", "other type"],
    )
    def test_a_file_without_the_key_stops_the_start_and_stays(
        self, tmp_path: Path, content: str
    ) -> None:
        """Replacing it silently would lock the broker out of rented machines."""
        path = tmp_path / "broker-key"
        text = generate(KeyType.RSA, "a").private_pem if content == "rsa" else content
        path.write_text(text)
        with pytest.raises(StartupError, match="broker-key"):
            load_or_create(path)
        assert path.read_text() == text

    def test_who_comes_second_takes_the_key_of_the_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two brokers that start at once must not overwrite each other's key."""
        path = tmp_path / "broker-key"
        first: list[KeyPair] = []

        def exists_once(_: Path) -> bool:
            monkeypatch.undo()
            first.append(load_or_create(path))
            return False

        monkeypatch.setattr(Path, "exists", exists_once)
        assert is_same(load_or_create(path), first[0])
