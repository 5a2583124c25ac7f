"""Masking of personal information: what is found is replaced by a token that names its kind.

Patterns alone would mask version numbers and prices; checksums (Luhn, ISO 7064) and address rules decide.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence

TOKENS = {
    "email": "<EMAIL>",
    "iban": "<IBAN>",
    "creditCard": "<CREDIT_CARD>",
    "ipAddress": "<IP_ADDRESS>",
    "phoneNumber": "<PHONE_NUMBER>",
}
"""Kinds in the order in which they are looked for: the stricter before the looser."""

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+%-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b",
    re.ASCII,
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII)
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d-]|[.,]\d)", re.ASCII)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|:(?=:)){1,7}(?::|(?::?[0-9A-Fa-f]{1,4}){1,7})(?![\w:])", re.ASCII)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"  # international, with its plus
    r"|(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}"  # (212) 555-0123
    r"|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}"  # 212-555-0123
    r")(?![\w]|[.-]\d)",
    re.ASCII,
)
_CARD_LENGTHS = frozenset({13, 14, 15, 16, 19})
_CARD_PREFIX = re.compile(r"4|5[1-5]|2[2-7]|3[47]|3[0689]|6(?:011|5|4[4-9]|2)")
_IBAN_LENGTHS = range(15, 35)
_UNICAST = ipaddress.ip_network("2000::/3")


def is_luhn(number: str) -> bool:
    """Whether the last digit is right (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(number)]
    return sum(d if n % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for n, d in enumerate(digits)) % 10 == 0


def is_iban(number: str) -> bool:
    """Whether the two check digits are right (ISO 13616, ISO 7064 MOD 97-10)."""
    moved = number[4:] + number[:4]
    return len(number) in _IBAN_LENGTHS and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_card(found: str) -> bool:
    number = found.replace(" ", "").replace("-", "")
    return len(number) in _CARD_LENGTHS and _CARD_PREFIX.match(number) is not None and is_luhn(number)


def _is_public_address(found: str) -> bool:
    """Whether it is an address of the Internet: no private, local, documentation or reserved one.

    Of IPv6, only what is assigned for unicast (2000::/3, RFC 4291): `a::b` is a name in C++ far more often.
    """
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    return address.is_global and (address.version == 4 or address in _UNICAST)


def _is_phone(found: str) -> bool:
    return 8 <= sum(character.isdigit() for character in found) <= 15


def _substitute(
    pattern: re.Pattern[str], text: str, token: str, is_one: Callable[[str], bool], counts: Counter[str], kind: str
) -> str:
    def replace(match: re.Match[str]) -> str:
        if not is_one(match.group()):
            return match.group()
        counts[kind] += 1
        return token

    return pattern.sub(replace, text)


def mask(text: str, kinds: Sequence[str], counts: Counter[str]) -> str:
    """The text with tokens in place of what was found; `counts` gets the number by kind added."""
    digits = any(map(text.__contains__, "0123456789"))
    if "email" in kinds and "@" in text:
        text = _substitute(_EMAIL, text, TOKENS["email"], bool, counts, "email")
    if "iban" in kinds and digits:
        text = _substitute(_IBAN, text, TOKENS["iban"], lambda s: is_iban(s.replace(" ", "")), counts, "iban")
    if "creditCard" in kinds and digits:
        text = _substitute(_CARD, text, TOKENS["creditCard"], _is_card, counts, "creditCard")
    if "ipAddress" in kinds:
        if digits:
            text = _substitute(_IPV4, text, TOKENS["ipAddress"], _is_public_address, counts, "ipAddress")
        if ":" in text:
            text = _substitute(_IPV6, text, TOKENS["ipAddress"], _is_public_address, counts, "ipAddress")
    if "phoneNumber" in kinds and digits:
        text = _substitute(_PHONE, text, TOKENS["phoneNumber"], _is_phone, counts, "phoneNumber")
    return text
