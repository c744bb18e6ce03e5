"""Keccak-256 by the book: bit rotations computed, no tables, no speed."""

__all__ = ["keccak_256"]

MASK = (1 << 64) - 1
RATE = 136


def keccak_256(data: bytes) -> bytes:
    """Hash with Ethereum's padding."""
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % RATE)
    padded[-1] |= 0x80
    state = [[0] * 5 for _ in range(5)]  # [x][y]
    for start in range(0, len(padded), RATE):
        for k in range(RATE // 8):
            lane = int.from_bytes(padded[start + 8 * k : start + 8 * k + 8], "little")
            state[k % 5][k // 5] ^= lane
        state = _permute(state)
    return b"".join(state[k % 5][k // 5].to_bytes(8, "little") for k in range(4))


def _permute(a: list[list[int]]) -> list[list[int]]:
    register = 1
    for _ in range(24):
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ _rol(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        b[0][0] = a[0][0]
        x, y = 1, 0
        for t in range(24):
            turned = _rol(a[x][y], (t + 1) * (t + 2) // 2 % 64)
            x, y = y, (2 * x + 3 * y) % 5
            b[x][y] = turned
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y] & MASK) for y in range(5)] for x in range(5)]
        for j in range(7):  # iota's constant by its shift register
            if register & 1:
                a[0][0] ^= 1 << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    return a


def _rol(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & MASK if bits else lane
