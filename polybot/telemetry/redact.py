"""Keeping secrets out of everything that is written.

Owns the registry of known secrets and the patterns of likely ones.  A registered secret is found in
every form it could take in a log line: as given, hex with or without 0x and in either case, base64 and
urlsafe base64 at any alignment, decimal, escaped, percent-encoded.  Order hashes and condition ids look
exactly like private keys, so a bare 0x + 64 hex digits is never touched unless it is registered or named
as a key.  Called by log.py on every sink, by the console and by the writer for text that came from outside.
"""

import base64
import binascii
import json
import re
from urllib.parse import quote

__all__ = ["MASK", "Redactor"]

MASK = "[redacted]"
# Shorter ones would blot out ordinary words; no venue or bot hands out such short secrets.
MIN_SECRET_CHARS = 8
# A base64 text decodes to something worth hiding from this length on (bytes).
MIN_DECODED_BYTES = 12

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{16,})\Z")
_LIKELY = (
    # Telegram bot token, also inside its API's URLs
    (re.compile(r"(?<![0-9A-Za-z])(bot)?\d{6,12}(?::|%3[aA])[A-Za-z0-9_-]{30,64}"), rf"\g<1>{MASK}"),
    # name = value, name: value, "name": "value"
    (
        re.compile(
            r"""(?i)((?:private[_-]?key|secret(?:[_-]?key)?|api[_-]?secret|passphrase|password|bot[_-]?token)
                ["']?\s*(?:=|:(?!//))\s*b?["']?)([^\s"',;&})]+)""",
            re.VERBOSE,
        ),
        rf"\g<1>{MASK}",
    ),
    # a 64 digit hex number called a key
    (
        re.compile(
            r"""(?i)(?<![a-z_])((?:private\s+|signer\s+|signing\s+)?(?:key|pk)
                ["']?\s*(?:[=:]|is)?\s*["']?)(?:0x)?[0-9a-f]{64}(?![0-9a-f])""",
            re.VERBOSE,
        ),
        rf"\g<1>{MASK}",
    ),
    (
        re.compile(
            r"""(?i)((?:mnemonic|seed[_ -]?phrase)["']?\s*[=:]?\s*["']?)(?:[a-z]{3,8}\s+){11,23}[a-z]{3,8}"""
        ),
        rf"\g<1>{MASK}",
    ),
    (
        re.compile(r"""(?i)(POLY_(?:PASSPHRASE|SIGNATURE|API_KEY)["']?\s*[=:,]\s*["']?)([^\s"',;})]+)"""),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"""(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"""), rf"\g<1>{MASK}"),
    (re.compile(r"""(://[^/\s:@"']{1,64}:)[^/\s@"']+(?=@)"""), rf"\g<1>{MASK}"),
)


class Redactor:
    """Masks registered secrets in any encoding and whatever looks like one by its name."""

    def __init__(self, *secrets: str) -> None:
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self.register(secret)

    def register(self, secret: str) -> None:
        """Add a secret; raises ValueError when it is too short to be masked safely."""
        if len(secret) < MIN_SECRET_CHARS:
            raise ValueError(
                f"a secret of fewer than {MIN_SECRET_CHARS} characters cannot be kept out of logs"
            )
        self._forms |= _text_forms(secret)
        raw = _raw_bytes(secret)
        if raw is not None:
            self._forms |= _raw_forms(raw)
        # Longest first: a form that contains another must win.
        ordered = sorted(self._forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(ordered))

    def scrub(self, text: str) -> str:
        """The text with every secret masked."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _LIKELY:
            text = pattern.sub(replacement, text)
        return text


def _text_forms(secret: str) -> set[str]:
    """Patterns for the secret as text: as given, escaped, percent-encoded, hex and base64 of it."""
    raw = secret.encode()
    forms = {
        re.escape(secret),
        re.escape(secret.upper()),
        re.escape(quote(secret, safe="")),
        re.escape(json.dumps(secret)[1:-1]),
        re.escape(repr(secret)[1:-1]),
        f"(?i:{raw.hex()})",
    }
    return forms | _base64_forms(raw)


def _raw_forms(raw: bytes) -> set[str]:
    """Patterns for the bytes a secret stands for."""
    number = str(int.from_bytes(raw, "big"))
    forms = {
        f"(?i:(?:0x)?{raw.hex()})",
        re.escape(repr(raw)[2:-1]),
        re.escape(", ".join(str(byte) for byte in raw)),
    }
    if len(number) >= 2 * MIN_SECRET_CHARS:
        forms.add(rf"(?<!\d){number}(?!\d)")
    return forms | _base64_forms(raw)


def _base64_forms(raw: bytes) -> set[str]:
    """Base64 of raw wherever it starts within a longer text: the characters that depend on raw alone."""
    forms = set()
    for lead in range(3):
        first = -(-lead * 8 // 6)
        last = (lead + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(bytes(lead) + raw).decode()[first:last]
            if len(core) >= MIN_SECRET_CHARS:
                forms.add(re.escape(core) + r"[A-Za-z0-9+/_-]{0,2}={0,2}")
    return forms


def _raw_bytes(secret: str) -> bytes | None:
    """What a hex or base64 secret decodes to; None for plain text."""
    found = _HEX.match(secret)
    if found is not None and len(found.group(1)) % 2 == 0:
        return bytes.fromhex(found.group(1))
    try:
        raw = base64.b64decode(
            secret.replace("-", "+").replace("_", "/") + "=" * (-len(secret) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) >= MIN_DECODED_BYTES else None
