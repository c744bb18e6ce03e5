"""The matching core: an order in and out, a taker over three levels, a maker's whole ladder."""

from polybot._fast.event import OrderType
from polybot._fast.matching import MatchBook

BID, ASK = 0, 1
SHARE = 1_000_000
FAK = int(OrderType.FAK)
LEVELS = 20


def ladder(shift: int) -> list[tuple[int, int, int]]:
    """20 levels a side around 0.50, moved by `shift` cents."""
    return [(BID, 4_900 + 100 * (shift - k), 100 * SHARE) for k in range(LEVELS)] + [
        (ASK, 5_100 + 100 * (shift + k), 100 * SHARE) for k in range(LEVELS)
    ]


def test_order_that_rests_and_is_cancelled(budget):
    book = MatchBook()
    book.replace_ladder(1, ladder(0))

    def rest_and_cancel() -> None:
        book.submit(BID, 4_900, SHARE, 2)
        book.cancel(book.rested)
        book.forget_changes()

    budget(rest_and_cancel, name="matching: rest + cancel", median_ns=800)


def test_taker_over_three_levels(budget):
    book = MatchBook()
    maker_quotes = [(price, 10 * SHARE) for price in (5_100, 5_200, 5_300)]

    def sweep() -> None:
        for price, ushares in maker_quotes:
            book.submit(ASK, price, ushares, 1)
        book.submit(BID, 5_300, 25 * SHARE, 2, FAK)
        book.legs()
        book.cancel_owner(1)
        book.forget_changes()

    budget(sweep, name="matching: 3 makers, taker over 3 levels", median_ns=3_000)


def test_ladder_of_40_quotes_moved_by_one_level(budget):
    book = MatchBook()
    ladders = [ladder(0), ladder(1)]
    turn = [0]

    def requote() -> None:
        turn[0] ^= 1
        book.replace_ladder(1, ladders[turn[0]])
        book.drain_changes()

    budget(requote, name="matching: ladder of 40 quotes, moved", median_ns=25_000)


def test_ladder_of_40_quotes_unchanged(budget):
    book = MatchBook()
    quotes = ladder(0)
    book.replace_ladder(1, quotes)
    budget(
        lambda: book.replace_ladder(1, quotes),
        name="matching: ladder of 40 quotes, unchanged",
        median_ns=20_000,
    )


def test_book_levels_of_one_side(budget):
    book = MatchBook()
    book.replace_ladder(1, ladder(0))
    budget(lambda: book.levels(BID), name="matching: 20 levels as a list", median_ns=5_000)
