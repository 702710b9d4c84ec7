"""How people pass accounts on: as an address with a checksum, or as an invoice.

    tft1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s2ruule
    tft:ADDRESS?amount=12.5&memo=lunch&grid=0123456789abcdef0123456789abcdef

An address is bech32 (BIP-173) of the 32 bytes of the account: up to four mistyped characters are
always noticed, and it fits a small QR code in capital letters. An invoice is a URI, so that a QR
code of it can be opened; it names the grid, for the same account may be on several.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

import bech32

from p2pgrid.errors import BadInput
from p2pgrid.model.ids import ID_BYTES, NETWORK_ID_BYTES, AccountId, NetworkId
from p2pgrid.model.operation import MEMO_BYTES_MAX
from p2pgrid.units import Amount, format_tft, parse_tft

ADDRESS_PREFIX = "tft"
"""What an address starts with, before its `1`."""
INVOICE_SCHEME = "tft"
_INVOICE_CHARACTERS_MAX = 1000
_FIELDS = ("amount", "memo", "grid")


@dataclass(frozen=True, slots=True)
class Invoice:
    """What somebody asks to be paid."""

    account: AccountId
    amount: Amount | None
    """None: whoever pays says how much."""
    memo: str
    grid: NetworkId | None
    """The grid that it is meant on; None: any."""


def format_account(account: bytes) -> str:
    """The address of an account.

    >>> format_account(bytes(range(32)))
    'tft1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s2ruule'
    """
    assert len(account) == ID_BYTES
    digits = bech32.convertbits(account, 8, 5)
    assert digits is not None, "bytes always convert"
    return bech32.bech32_encode(ADDRESS_PREFIX, digits)


def looks_like_address(text: str) -> bool:
    """Whether somebody who wrote this meant an address, complete or not."""
    return text.casefold().startswith(f"{ADDRESS_PREFIX}1")


def parse_account(text: str) -> AccountId:
    """The account of an address. Raises BadInput: mistyped, cut, or something else."""
    prefix, digits = bech32.bech32_decode(text)
    data = None if digits is None else bech32.convertbits(digits, 5, 8, False)  # noqa: FBT003 - as the library has it
    if prefix != ADDRESS_PREFIX or data is None or len(data) != ID_BYTES:
        raise BadInput(
            f"{text[:80]!r} is not an address: a character is wrong or missing; copy it again"
        )
    return AccountId(bytes(data))


def format_invoice(invoice: Invoice) -> str:
    """The URI of an invoice."""
    said = []
    if invoice.amount is not None:
        said.append(f"amount={format_tft(invoice.amount).rstrip('0').rstrip('.')}")
    if invoice.memo:
        said.append(f"memo={quote(invoice.memo, safe='')}")
    if invoice.grid is not None:
        said.append(f"grid={invoice.grid.hex()}")
    query = "?" + "&".join(said) if said else ""
    return f"{INVOICE_SCHEME}:{format_account(invoice.account)}{query}"


def is_invoice(text: str) -> bool:
    """Whether somebody who wrote this meant an invoice."""
    return text.casefold().startswith(f"{INVOICE_SCHEME}:")


def parse_invoice(text: str) -> Invoice:
    """Read an invoice strictly: what is not understood could be what matters. Raises BadInput."""
    if len(text) > _INVOICE_CHARACTERS_MAX:
        raise BadInput(f"an invoice has at most {_INVOICE_CHARACTERS_MAX} characters")
    parts = urlsplit(text)
    if not is_invoice(text) or parts.netloc or parts.fragment:
        raise BadInput(f"{text[:80]!r} is not an invoice; those start with {INVOICE_SCHEME}:")
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise BadInput(f"the invoice is damaged: {error}") from None
    said = dict(pairs)
    if len(said) != len(pairs) or not set(said) <= set(_FIELDS):
        raise BadInput(f"an invoice says {', '.join(_FIELDS)}, each at most once")
    return Invoice(
        parse_account(parts.path), _amount(said.get("amount")), _memo(said.get("memo", "")),
        _grid(said.get("grid")),
    )  # fmt: skip


def _amount(text: str | None) -> Amount | None:
    if text is None:
        return None
    try:
        return parse_tft(text)
    except ValueError as error:
        raise BadInput(f"the invoice asks for no amount: {error}") from None


def _memo(text: str) -> str:
    if len(text.encode(errors="replace")) > MEMO_BYTES_MAX or not text.isprintable():
        raise BadInput(f"the memo of the invoice is not a line of at most {MEMO_BYTES_MAX} bytes")
    return text


def _grid(text: str | None) -> NetworkId | None:
    if text is None:
        return None
    if not re.fullmatch(rf"[0-9a-f]{{{2 * NETWORK_ID_BYTES}}}", text):
        raise BadInput("the invoice names no grid: its id has 32 hex digits")
    return NetworkId(bytes.fromhex(text))
