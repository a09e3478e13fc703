"""Public IP addresses: in none of IANA's special-purpose registries (RFC 6890), no multicast, IPv6 within 2000::/3.

An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is as public as that. Four parts are no address after
"v", "version" or such a word, "==", "name/" or "name-", nor among five. Four parts all below 64 are one address in 250
and most version numbers: they count beside a port, a prefix length, "//", or after a word such as "host" in the 48
bytes before them in the line; and as the five well-known resolvers (1.1.1.1, 8.8.8.8 …).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import numpy as np

from curation.rules.pii.bytes import digits, is_alnum, is_among, is_digit, is_hex, is_letter, is_word
from curation.text.compiling import njit, njit_inline

ANCHORS_V4 = b"0123456789"
ANCHORS_V6 = b":"
_SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
)
"""IANA's IPv4 Special-Purpose Address Registry as of 2024; multicast, and what is reserved above it."""
_NETWORKS = tuple((int(net.network_address), int(net.netmask)) for net in map(IPv4Network, _SPECIAL))
_RESOLVERS = tuple(int(IPv4Address(known)) for known in ("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"))
_CONTEXT = 48
"""Bytes before an ambiguous address in which a word may say that it is one."""
_VERSION_WORDS = (
    b" v ver version versions release releases released rev revision build firmware kernel driver sdk update upgrade"
    b" patch section sections sec chapter clause paragraph appendix annex table figure fig step rfc article oid"
    b" objectidentifier "
)
_ADDRESS_WORDS = (
    b" ip ips ipv4 ipaddress ipv4address ipv4network addr addrs address addresses host hosts hostname server servers"
    b" nameserver nameservers dns resolver gateway router client proxy inet ping traceroute whois ssh telnet subnet "
)
_AT, _COLON, _DOT, _HYPHEN, _SLASH, _PERCENT, _EQUALS, _NEWLINE = b"@:.-/%=\n"
_LESS, _GREATER, _EXCLAMATION, _TILDE, _CARET, _BRACKET = b"<>!~^]"


@njit(nogil=True, cache=True)
def match_v4(data, lo, hi, start):  # type: ignore[no-untyped-def]
    """The public address whose first digit is at byte `start`."""
    address, end = _quad(data, start, hi)
    if end == 0 or not _is_public(address):
        return 0, 0
    if end < hi:
        byte = data[end]
        following = data[end + 1] if end + 1 < hi else 0
        if is_word(byte) or byte == _AT or byte == _PERCENT:
            return 0, 0
        if (byte == _DOT and is_alnum(following)) or (byte == _HYPHEN and is_letter(following)):
            return 0, 0
    if start > lo:
        byte = data[start - 1]
        second = data[start - 2] if start - 2 >= lo else 0
        if is_word(byte) or byte in (_DOT, _CARET, _TILDE):
            return 0, 0
        if (byte == _HYPHEN or byte == _SLASH) and is_word(second):
            return 0, 0
        if byte == _EQUALS and second in (_EQUALS, _LESS, _GREATER, _EXCLAMATION, _TILDE):  # versions are compared
            return 0, 0
        if byte == _COLON and _is_inside_v6(data, lo, start - 1):
            return 0, 0
    ambiguous = address & 0xC0C0C0C0 == 0 and address not in _RESOLVERS  # all parts below 64
    if _is_version(data, lo, start) or (ambiguous and not _is_addressed(data, lo, hi, start, end)):
        return 0, 0
    return start, end


@njit_inline
def _quad(data, start, hi):  # type: ignore[no-untyped-def]
    """Four decimal parts from byte `start`, without leading zeros: (address, end), or (0, 0)."""
    address = 0
    i = start
    for part in range(4):
        size = digits(data, i, hi)
        if size == 0 or size > 3 or (size > 1 and data[i] == 48):
            return 0, 0
        value = 0
        for k in range(i, i + size):
            value = 10 * value + data[k] - 48
        if value > 255:
            return 0, 0
        address = address << 8 | value
        i += size
        if part < 3:
            if i == hi or data[i] != _DOT:
                return 0, 0
            i += 1
    return address, i


@njit_inline
def _is_public(address):  # type: ignore[no-untyped-def]
    public = True
    for network, mask in _NETWORKS:
        public &= address & mask != network
    return public


@njit(nogil=True, cache=True)
def _is_version(data, lo, i):  # type: ignore[no-untyped-def]
    """Whether the word before byte `i` says that a version, or a part of a document, is numbered."""
    end = i
    while end > lo and i - end < 4 and not is_alnum(data[end - 1]):
        if data[end - 1] == 0xA7 and end - 1 > lo and data[end - 2] == 0xC2:  # §
            return True
        if data[end - 1] == _NEWLINE or data[end - 1] >= 0x80:
            return False
        end -= 1
    start = end
    while start > lo and is_alnum(data[start - 1]) and end - start < 16:
        start -= 1
    return is_among(data, start, end, _VERSION_WORDS)


@njit(nogil=True, cache=True)
def _is_addressed(data, lo, hi, start, end):  # type: ignore[no-untyped-def]
    """Whether something beside the four numbers says that they are an address."""
    if end + 1 < hi and (data[end] == _COLON or data[end] == _SLASH) and is_digit(data[end + 1]):
        return True
    if start - 2 >= lo and data[start - 1] == _SLASH and data[start - 2] == _SLASH:
        return True
    lo = max(lo, start - _CONTEXT)
    last = start
    i = start
    # A bracket ends the search: the tag of a redacted neighbour is no word of the text.
    while i > lo and data[i - 1] != _NEWLINE and data[i - 1] != _BRACKET:
        i -= 1
        if not is_alnum(data[i]):
            if is_among(data, i + 1, last, _ADDRESS_WORDS):
                return True
            last = i
    return (i == lo or not is_alnum(data[i - 1])) and is_among(data, i, last, _ADDRESS_WORDS)


@njit_inline
def _is_inside_v6(data, lo, colon):  # type: ignore[no-untyped-def]
    """Whether the ":" at byte `colon` parts the groups of an IPv6 address, so that an IPv4 one behind it is its end."""
    i = colon
    while i > lo and colon - i < 4 and is_hex(data[i - 1]):
        i -= 1
    return i > lo and data[i - 1] == _COLON


@njit(nogil=True, cache=True)
def match_v6(data, lo, hi, colon):  # type: ignore[no-untyped-def]
    """The public address whose first ":" is at byte `colon`."""
    if colon + 1 == hi or not (is_hex(data[colon + 1]) or data[colon + 1] == _COLON):
        return 0, 0
    start = colon
    while start > lo and colon - start < 5 and is_hex(data[start - 1]):
        start -= 1
    if colon - start == 5 or (start == colon and data[colon + 1] != _COLON):
        return 0, 0
    if start > lo and (is_word(data[start - 1]) or data[start - 1] == _COLON or data[start - 1] == _DOT):
        return 0, 0
    groups = np.zeros(8, np.int64)
    count = 0
    gap = -1  # how many groups stand before "::"
    i = start
    if start == colon:
        gap = 0
        i += 2
    named = False  # whether a letter is among the digits
    while count < 8 and i < hi:
        address, after = _quad(data, i, hi)
        if after > 0 and count <= 6:
            groups[count], groups[count + 1] = address >> 16, address & 0xFFFF
            count += 2
            i = after
            break
        size = 0
        while i + size < hi and size < 5 and is_hex(data[i + size]):
            byte = data[i + size]
            groups[count] = groups[count] << 4 | (byte - 48 if is_digit(byte) else (byte & 0xDF) - 55)
            named = named or not is_digit(byte)
            size += 1
        if size == 0:
            break
        if size == 5:
            return 0, 0
        count += 1
        i += size
        if i + 1 >= hi or data[i] != _COLON:
            break
        if data[i + 1] == _COLON and gap < 0:
            gap = count
            i += 2
        elif is_hex(data[i + 1]):
            i += 1
        else:
            break
    if (gap < 0 and count < 8) or (gap >= 0 and count > 7):
        return 0, 0
    if i < hi:
        following = data[i + 1] if i + 1 < hi else 0
        if is_word(data[i]) or (data[i] == _COLON and (is_hex(following) or following == _COLON)):
            return 0, 0
        if (data[i] == _DOT and is_alnum(following)) or (data[i] == _COLON and gap == count):
            return 0, 0
    # 2004:: is a paragraph of reStructuredText, [2004::2] a slice
    if count < 3 and (gap == count or not named):
        return 0, 0
    if gap >= 0:
        for k in range(count - gap):
            groups[7 - k] = groups[count - 1 - k]
        for k in range(gap, gap + 8 - count):
            groups[k] = 0
    return (start, i) if _is_public_v6(groups) else (0, 0)


@njit_inline
def _is_public_v6(groups):  # type: ignore[no-untyped-def]
    """In 2000::/3, not in IANA's IPv6 Special-Purpose Address Registry as of 2024; a carried IPv4 address decides."""
    a, b = groups[0], groups[1]
    if a == 0x2002:  # 6to4, RFC 3056
        return _is_public(b << 16 | groups[2])
    if groups[2] == 0 and groups[3] == 0 and groups[4] == 0:
        mapped = a == 0 and b == 0 and groups[5] == 0xFFFF  # RFC 4291, 2.5.5.2
        translated = a == 0x64 and b == 0xFF9B and groups[5] == 0  # NAT64, RFC 6052
        if mapped or translated:
            return _is_public(groups[6] << 16 | groups[7])
    if a >> 13 != 1 or (a == 0x2001 and (b < 0x200 or b == 0xDB8)):
        return False
    return not (a == 0x3FFF and b < 0x1000)
