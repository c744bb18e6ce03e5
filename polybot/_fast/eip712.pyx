"""EIP-712 digests of the venue's orders and of its login message, from prefilled buffers.

Owns the encoding of the V2 order struct (eleven fields), domain separators, the ERC-7739 wrapper
of deposit wallets (signature type 3) and the ClobAuth message.  One OrderHasher per (domain,
maker, signer, signature type): constant words are written once, an order rewrites six of them.
Must not sign, and knows no amounts policy.  Called by gateway.signer.
The order id is the plain EIP-712 digest for every signature type; type 3 signs another digest,
that of TypedDataSign around the same struct.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from polybot._fast.keccak cimport keccak256

cdef enum:
    WORD = 32
    ADDRESS = 20
    # words of the order struct
    SALT = 1
    MAKER = 2
    SIGNER = 3
    TOKEN_ID = 4
    MAKER_AMOUNT = 5
    TAKER_AMOUNT = 6
    SIDE_WORD = 7
    SIGNATURE_TYPE = 8
    TIMESTAMP = 9
    METADATA = 10
    BUILDER = 11
    ORDER_WORDS = 12
    # words of TypedDataSign
    WRAP_CONTENTS = 1
    WRAP_NAME = 2
    WRAP_VERSION = 3
    WRAP_CHAIN = 4
    WRAP_WALLET = 5
    WRAP_WORDS = 7              # the last one, its salt, stays zero
    POLY_1271 = 3               # signature type of deposit wallets

ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_WRAPPED_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + ORDER_TYPE
)
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_LOGIN_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId)"
_LOGIN_TYPE = b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
_LOGIN_MESSAGE = b"This message attests that I control the given wallet"


cdef inline void _put_uint(uint8_t* word, uint64_t value) noexcept nogil:
    cdef int k
    memset(word, 0, WORD)
    for k in range(8):
        word[31 - k] = <uint8_t> (value >> (8 * k))


cdef int _put_address(uint8_t* word, bytes address) except -1:
    if len(address) != ADDRESS:
        raise ValueError("an address has 20 bytes")
    memset(word, 0, WORD)
    memcpy(word + WORD - ADDRESS, <const char*> address, ADDRESS)
    return 0


cdef int _put_word(uint8_t* word, bytes value) except -1:
    if len(value) != WORD:
        raise ValueError("a word has 32 bytes")
    memcpy(word, <const char*> value, WORD)
    return 0


cdef void _put_hash(uint8_t* word, bytes text) noexcept:
    keccak256(<const uint8_t*> <const char*> text, len(text), word)


cdef bytes _envelope_digest(const uint8_t* domain, const uint8_t* struct_hash):
    cdef uint8_t[2 + 2 * WORD] envelope
    cdef uint8_t[WORD] digest
    envelope[0] = 0x19
    envelope[1] = 0x01
    memcpy(envelope + 2, domain, WORD)
    memcpy(envelope + 2 + WORD, struct_hash, WORD)
    keccak256(envelope, sizeof(envelope), digest)
    return (<char*> digest)[:WORD]


def domain_separator(name: bytes, version: bytes, *, chain_id: int, verifying_contract: bytes) -> bytes:
    """Return the 32-byte separator of an exchange's domain; verifying_contract is 20 bytes."""
    cdef uint8_t[5 * WORD] words
    cdef uint8_t[WORD] out
    _put_hash(words, _DOMAIN_TYPE)
    _put_hash(words + WORD, name)
    _put_hash(words + 2 * WORD, version)
    _put_uint(words + 3 * WORD, chain_id)
    _put_address(words + 4 * WORD, verifying_contract)
    keccak256(words, sizeof(words), out)
    return (<char*> out)[:WORD]


def clob_auth_digest(address: bytes, timestamp: bytes, *, nonce: int, chain_id: int) -> bytes:
    """Return the digest to sign for the login message (L1); timestamp is ASCII seconds."""
    cdef uint8_t[5 * WORD] words
    cdef uint8_t[WORD] domain
    cdef uint8_t[WORD] login
    _put_hash(words, _LOGIN_DOMAIN_TYPE)
    _put_hash(words + WORD, b"ClobAuthDomain")
    _put_hash(words + 2 * WORD, b"1")
    _put_uint(words + 3 * WORD, chain_id)
    keccak256(words, 4 * WORD, domain)
    _put_hash(words, _LOGIN_TYPE)
    _put_address(words + WORD, address)
    _put_hash(words + 2 * WORD, timestamp)
    _put_uint(words + 3 * WORD, nonce)
    _put_hash(words + 4 * WORD, _LOGIN_MESSAGE)
    keccak256(words, sizeof(words), login)
    return _envelope_digest(domain, login)


cdef class OrderHasher:
    """Hashes orders of one (domain, maker, signer, signature type)."""

    def __init__(self, domain_separator: bytes, maker: bytes, *, signer: bytes, signature_type: int,
                 chain_id: int, builder: bytes = bytes(WORD)) -> None:
        if not 0 <= signature_type <= POLY_1271:
            raise ValueError(f"signature_type {signature_type}: 0 to 3")
        self.domain_separator = domain_separator
        self.signature_type = signature_type
        self._tail = ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
        memset(self._order, 0, sizeof(self._order))
        _put_hash(self._order, ORDER_TYPE)
        _put_address(self._order + MAKER * WORD, maker)
        _put_address(self._order + SIGNER * WORD, signer)
        _put_uint(self._order + SIGNATURE_TYPE * WORD, signature_type)
        _put_word(self._order + BUILDER * WORD, builder)
        memset(self._wrapped, 0, sizeof(self._wrapped))
        _put_hash(self._wrapped, _WRAPPED_TYPE)
        _put_hash(self._wrapped + WRAP_NAME * WORD, b"DepositWallet")
        _put_hash(self._wrapped + WRAP_VERSION * WORD, b"1")
        _put_uint(self._wrapped + WRAP_CHAIN * WORD, chain_id)
        _put_address(self._wrapped + WRAP_WALLET * WORD, signer)
        self._envelope[0] = 0x19
        self._envelope[1] = 0x01
        _put_word(self._envelope + 2, domain_separator)

    cdef void _hash_envelope(self, const uint8_t* struct_hash, uint8_t* out) noexcept:
        memcpy(self._envelope + 2 + WORD, struct_hash, WORD)
        keccak256(self._envelope, sizeof(self._envelope), out)

    def hash_order(self, token_id: bytes, uint64_t salt, *, uint64_t maker_amount, uint64_t taker_amount,
                   uint64_t side, uint64_t timestamp_ms) -> tuple[bytes, bytes, bytes]:
        """Return (order id, digest to sign, contents hash); token_id is 32 bytes big-endian."""
        cdef uint8_t[WORD] contents, order_id, digest
        _put_uint(self._order + SALT * WORD, salt)
        _put_word(self._order + TOKEN_ID * WORD, token_id)
        _put_uint(self._order + MAKER_AMOUNT * WORD, maker_amount)
        _put_uint(self._order + TAKER_AMOUNT * WORD, taker_amount)
        _put_uint(self._order + SIDE_WORD * WORD, side)
        _put_uint(self._order + TIMESTAMP * WORD, timestamp_ms)
        keccak256(self._order, ORDER_WORDS * WORD, contents)
        self._hash_envelope(contents, order_id)
        memcpy(digest, order_id, WORD)
        if self.signature_type == POLY_1271:
            memcpy(self._wrapped + WRAP_CONTENTS * WORD, contents, WORD)
            keccak256(self._wrapped, WRAP_WORDS * WORD, digest)
            self._hash_envelope(digest, digest)
        return (<char*> order_id)[:WORD], (<char*> digest)[:WORD], (<char*> contents)[:WORD]

    def seal(self, signature: bytes, contents_hash: bytes) -> bytes:
        """Return the signature as the exchange wants it: type 3 gets its ERC-7739 tail."""
        if self.signature_type != POLY_1271:
            return signature
        return signature + self.domain_separator + contents_hash + self._tail
