"""Wire text of the embedded venue: a book side of 100 levels, 20 changed levels, a spot quote."""

from polybot._fast.matching import MatchBook
from polybot._fast.wire_text import SpotText, changes_text, levels_text
from polybot.sim.path import Quote

SHARE = 1_000_000


def test_book_side_of_100_levels(budget):
    book = MatchBook()
    for price in range(100, 5_100, 50):
        book.submit(0, price, 123 * SHARE + price, 1)
    budget(lambda: levels_text(book, 0, False), name="wire text: 100 levels", median_ns=20_000)


def test_twenty_changed_levels(budget):
    changes = [(k % 2, 4_000 + 100 * k, k * SHARE) for k in range(20)]
    heads, tails = ('{"asset_id":"1","price":"',) * 2, ('","hash":"x"}',) * 2
    budget(lambda: changes_text(changes, heads, tails), name="wire text: 20 changes", median_ns=12_000)


def test_spot_quote(budget):
    text = SpotText("BTCUSDT", combined=True, micro=True)
    quote = Quote(0, 50_093_239_189, 6_512_345_000_000, 1_000, 6_512_346_000_000, 2_000_000_000)
    budget(lambda: text.quote(quote), name="wire text: spot quote", median_ns=1_500)
