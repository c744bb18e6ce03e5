"""Random draws of the embedded venue."""

from polybot._fast.draws import Draws


def test_normal_draw(budget):
    draws = Draws(7)
    budget(lambda: draws.gauss(0.0, 1.0), name="draws: normal", median_ns=300)


def test_integer_draw(budget):
    draws = Draws(7)
    budget(lambda: draws.randrange(5, 60), name="draws: integer", median_ns=500)
