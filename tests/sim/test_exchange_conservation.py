"""Random flow of venue traders and wallets: money and shares are conserved to the micro-unit."""

import random

import pytest
from sim.desk import BUY, DOWN, KEY, NS, OTHER_KEY, SELL, SHARE, UP, Desk

TYPES = ("GTC", "GTC", "GTC", "FAK", "FOK", "GTD")
KINDS = {"mint", "merge", "transfer"}


def kind_of(row):
    if row["taker_outcome"] == row["maker_outcome"]:
        return "transfer"
    return "mint" if row["taker_side"] == BUY else "merge"


def random_action(rng, desk, spec, wallets):
    mid = rng.randint(30, 70)
    roll = rng.random()
    if roll < 0.1:
        quotes = [(BUY, 100 * (mid - k), SHARE * rng.randint(1, 30)) for k in range(1, 4)]
        quotes += [(SELL, 100 * (mid + k), SHARE * rng.randint(1, 30)) for k in range(1, 4)]
        desk.exchange.replace_ladder(f"maker-{rng.randint(0, 1)}", spec.slug, quotes)
    elif roll < 0.3:
        desk.exchange.place_internal(
            "noise", spec.slug, rng.randint(0, 1), rng.randint(0, 1), 100 * mid, 10_000 * rng.randint(1, 2_000),
            order_type=rng.choice([0, 2, 3]), post_only=rng.random() < 0.2,
        )  # fmt: skip
    elif roll < 0.85:
        wallet = rng.choice(wallets)
        token = rng.choice([spec.token_up, spec.token_down])
        kind = rng.choice(TYPES)
        changes = {"expiration": str(desk.now_ns // NS + 190)} if kind == "GTD" else {}
        side = rng.choice([BUY, SELL])
        wallet.post(token, side, 100 * mid, rng.randint(5, 40), kind, **changes)
    elif roll < 0.9:
        rng.choice(wallets).call("DELETE", "/cancel-all")
    else:
        desk.run(rng.random() * 20)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_flow_conserves_money_and_shares(seed):
    rng = random.Random(seed)
    desk = Desk(seed=seed)
    wallets = [desk.wallet(KEY, usd=300), desk.wallet(OTHER_KEY, usd=300)]
    total = 600_000_000
    for number in (1, 2):
        spec = desk.list(number)
        for _ in range(350):
            random_action(rng, desk, spec, wallets)
            assert desk.exchange.audit() == total
            for wallet in wallets:
                assert wallet.account.cash >= 0
                assert min(wallet.account.position(spec.condition_id)) >= 0
        desk.exchange.resolve_market(spec.condition_id, rng.choice([UP, DOWN]), desk.now_ns)
        assert desk.exchange.audit() == total
    legs = [row for row in desk.ledger.rows if row["k"] == "leg"]
    assert {kind_of(row) for row in legs} == KINDS
    assert sum(row["fee"] for row in legs) > 0
    for wallet in wallets:
        pnl = desk.ledger.account_pnl(wallet.address)
        assert wallet.account.cash == 300_000_000 + sum(pnl.values())
        assert wallet.account.held_cash == 0


def test_ledger_rows_alone_reproduce_every_wallets_cash():
    rng = random.Random(7)
    desk = Desk(seed=7)
    wallets = [desk.wallet(KEY, usd=500), desk.wallet(OTHER_KEY, usd=500)]
    spec = desk.list()
    for _ in range(400):
        random_action(rng, desk, spec, wallets)
    desk.exchange.resolve_market(spec.condition_id, UP, desk.now_ns)
    cash = {}
    for row in desk.ledger.rows:
        if row["k"] == "account":
            cash[row["account"]] = row["balance"]
        elif row["k"] == "leg":
            for role in ("taker", "maker"):
                sign = -1 if row[f"{role}_side"] == BUY else 1
                cash[row[role]] = cash.get(row[role], 0) + sign * row[f"{role}_usd"]
            cash[row["taker"]] -= row["fee"]
        elif row["k"] == "settle":
            cash[row["account"]] = cash.get(row["account"], 0) + row["paid"]
    for wallet in wallets:
        assert cash[wallet.address] == wallet.account.cash


def test_same_seed_gives_the_same_ledger_and_the_same_frames():
    def play():
        rng = random.Random(3)
        desk = Desk(seed=3)
        wallets = [desk.wallet(KEY), desk.wallet(OTHER_KEY)]
        spec = desk.list()
        public, private = desk.market_socket(spec.token_up, spec.token_down), wallets[0].socket()
        for _ in range(150):
            random_action(rng, desk, spec, wallets)
        return desk.ledger.rows, public.frames, private.frames

    assert play() == play()


def test_resolved_and_forgotten_market_leaves_nothing_behind():
    desk = Desk()
    wallet = desk.wallet()
    for number in range(1, 6):
        spec = desk.list(number)
        desk.rest_ladder(spec)
        wallet.post(spec.token_up, BUY, 5_200, 10, "FAK")
        desk.run(10)
        desk.exchange.resolve_market(spec.slug, DOWN, desk.now_ns)
        desk.exchange.forget_market(spec.slug)
    account = wallet.account
    assert (account.orders, account.history, account.trades, account.shares) == ({}, {}, [], {})
    assert desk.exchange.markets() == []
    assert desk.ledger.account_pnl(wallet.address) == {}
    desk.run(0)
    assert desk.scheduler.next_ns() is None
