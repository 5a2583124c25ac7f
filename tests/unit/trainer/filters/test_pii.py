from collections import Counter

import pytest

from pretrain_trainer.filters import pii

ALL = list(pii.TOKENS)


def masked(text: str, kinds: list[str] = ALL) -> str:
    return pii.mask(text, kinds, Counter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+x@mail.example.co.uk.", "Write to <EMAIL>."),
        ("<a@b.com>, c_d@e.org", "<<EMAIL>>, <EMAIL>"),
        ("decorator @property and a@b", "decorator @property and a@b"),
        ("The server 8.8.8.8 answers", "The server <IP_ADDRESS> answers"),
        ("192.168.0.1 10.0.0.1 127.0.0.1 999.8.8.8 1.2.3.4.5", "192.168.0.1 10.0.0.1 127.0.0.1 999.8.8.8 1.2.3.4.5"),
        ("at 2606:4700:4700::1111 and fe80::1 and 12:30:45", "at <IP_ADDRESS> and fe80::1 and 12:30:45"),
        ("std::vector and a::b", "std::vector and a::b"),
        ("Card 4111 1111 1111 1111, 4111-1111-1111-1111", "Card <CREDIT_CARD>, <CREDIT_CARD>"),
        ("Card 4111 1111 1111 1112 is wrong", "Card 4111 1111 1111 1112 is wrong"),
        ("American Express 378282246310005", "American Express <CREDIT_CARD>"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN <IBAN>."),
        ("GB82WEST12345698765432", "<IBAN>"),
        ("IBAN DE88 3704 0044 0532 0130 00 is wrong", "IBAN DE88 3704 0044 0532 0130 00 is wrong"),
        ("Call +49 30 901820 or +1 (212) 555-0123", "Call <PHONE_NUMBER> or <PHONE_NUMBER>"),
        ("Call (212) 555-0123, 212-555-0123 or 212.555.0123", "Call <PHONE_NUMBER>, <PHONE_NUMBER> or <PHONE_NUMBER>"),
        ("In 2024-01-15, 3.14159, 1,000,000 and 1234567890", "In 2024-01-15, 3.14159, 1,000,000 and 1234567890"),
        ("Version 3.11.7.2 of 100-200-300", "Version <IP_ADDRESS> of 100-200-300"),
        ("nothing", "nothing"),
    ],
)
def test_what_is_masked_and_what_is_not(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_only_the_kinds_asked_for() -> None:
    assert masked("a@b.com 8.8.8.8", ["ipAddress"]) == "a@b.com <IP_ADDRESS>"


def test_counts_by_kind_are_added() -> None:
    counts = Counter({"email": 1})
    pii.mask("a@b.com c@d.org 8.8.8.8", ALL, counts)
    assert counts == {"email": 3, "ipAddress": 1}


def test_checksums() -> None:
    assert pii.is_luhn("79927398713")
    assert not pii.is_luhn("79927398710")
    assert pii.is_iban("NL91ABNA0417164300")
    assert not pii.is_iban("NL91ABNA0417164301")


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "1 " * 100_000, "a." * 100_000 + "@", "1." * 100_000, ":" * 50_000, "+1 " * 50_000]
)
def test_time_stays_linear_in_hostile_text(text: str) -> None:
    assert masked(text) == text
