"""The ledger on disk, and the checker that compares it with polybot's files."""

import csv
import random

import pytest
from sim.desk import BUY, DOWN, KEY, OTHER_KEY, SELL, SHARE, UP, Desk

from polybot._fast.keccak import keccak_256
from polybot.sim.checker import account_pnl, compare, count_rows
from polybot.sim.ledger import Ledger, read_ledger
from polybot.telemetry.csv_sinks import FILLS_COLUMNS, ORDERS_COLUMNS
from polybot.telemetry.market_log import markets_columns

MARKETS = ("cost_micro_usd", "fees_micro_usd", "payout_micro_usd", "pnl_micro_usd")


# ---- the file


def test_rows_are_on_disk_at_once_and_read_back_in_order(tmp_path):
    path = tmp_path / "deep" / "ledger.jsonl"
    ledger = Ledger(path, "s1")
    ledger.write("order", 5, id="0x1", ushares=7)
    rows = read_ledger(path)
    assert rows == [
        {"n": 1, "t": 0, "k": "ledger", "version": 1, "session": "s1"},
        {"n": 2, "t": 5, "k": "order", "id": "0x1", "ushares": 7},
    ]
    assert ledger.rows == []
    ledger.close()


def test_torn_last_line_is_dropped_and_another_version_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path, "s1").close()
    with path.open("ab") as file:
        file.write(b'{"n":2,"t":1,"k":"ord')
    assert len(read_ledger(path)) == 1
    path.write_text('{"n":1,"t":0,"k":"ledger","version":2}\n')
    with pytest.raises(ValueError, match="version 1"):
        read_ledger(path)
    path.write_text("")
    with pytest.raises(ValueError, match="version 1"):
        read_ledger(path)


def test_same_run_writes_the_same_rows_to_a_file_and_to_memory(tmp_path):
    path = tmp_path / "ledger.jsonl"
    on_disk, in_memory = play(Desk(ledger_path=path)), play(Desk())
    on_disk.ledger.close()
    assert read_ledger(path) == in_memory.ledger.rows


# ---- the checker


def play(desk, markets=2):
    """Two wallets and a ladder over some markets; the first wallet is the one compared."""
    rng = random.Random(11)
    wallet, other = desk.wallet(KEY), desk.wallet(OTHER_KEY)
    for number in range(1, markets + 1):
        spec = desk.list(number)
        for _ in range(25):
            mid = rng.randint(40, 60)
            quotes = [(BUY, 100 * (mid - 1), 8 * SHARE), (SELL, 100 * (mid + 1), 8 * SHARE)]
            quotes += [(BUY, 100 * (mid - 2), 8 * SHARE), (SELL, 100 * (mid + 2), 8 * SHARE)]
            desk.exchange.replace_ladder("maker-0", spec.slug, quotes)
            token = rng.choice([spec.token_up, spec.token_down])
            wallet.post(
                token, rng.choice([BUY, BUY, SELL]), 100 * rng.randint(35, 65), rng.randint(5, 12), "FAK"
            )
            wallet.post(token, BUY, 100 * (mid - 5 if token == spec.token_up else 95 - mid), 6)
            other.post(spec.token_up, SELL, 100 * (mid - 8), 5, "FAK")
            other.post(spec.token_down, BUY, 9_000, 5, "FAK")
            desk.run(1)
        desk.run(10)
        desk.exchange.resolve_market(spec.slug, rng.choice([UP, DOWN]), desk.now_ns)
    return desk


def files_of(rows, account):
    """What polybot would have written of the account's fills, from the rows, put together anew."""
    fills, orders, markets = [], {}, {}
    slugs = {row["market"]: row["slug"] for row in rows if row["k"] == "market"}
    for row in rows:
        if row["k"] == "order" and row["account"] == account:
            orders[row["id"]] = {
                "order_id": row["id"],
                "state": "LIVE",
                "matched_micro": "0",
                "_m": row["market"],
            }
        elif row["k"] == "end" and row["account"] == account:
            state = "FILLED" if row["status"] == "MATCHED" else "CANCELED"
            orders[row["id"]] |= {"state": state, "matched_micro": str(row["matched"])}
        elif row["k"] == "leg":
            for role in ("taker", "maker"):
                if row[role] == account:
                    fills.append(fill_row(row, role) | {"_m": row["market"]})
        elif row["k"] == "resolve":
            word = ("Up", "Down")[row["winner"]]
            markets[row["market"]] = {"slug": slugs[row["market"]], "outcome": word, "payout_micro_usd": "0"}
        elif row["k"] == "settle" and row["account"] == account:
            markets[row["market"]]["payout_micro_usd"] = str(row["paid"])
    for market, line in markets.items():
        cost = sum(int(fill["cost_micro_usd"]) for fill in fills if fill["_m"] == market)
        fees = sum(int(fill["fee_micro_usd"]) for fill in fills if fill["_m"] == market)
        pnl = int(line["payout_micro_usd"]) - cost
        line |= {"cost_micro_usd": str(cost), "fees_micro_usd": str(fees), "pnl_micro_usd": str(pnl)}
    return slugs, fills, list(orders.values()), list(markets.values())


def fill_row(row, role):
    order_id = row[f"{role}_order"]
    digest = keccak_256(f"{row['trade']}|{order_id}|{row['leg']}".encode())
    fee = row["fee"] if role == "taker" else 0
    usd = row[f"{role}_usd"] if row[f"{role}_side"] == BUY else -row[f"{role}_usd"]
    return {
        "trade_key": str(int.from_bytes(digest[:8], "big") % 2**52),
        "order_id": order_id,
        "outcome": ("Up", "Down")[row[f"{role}_outcome"]],
        "side": ("Buy", "Sell")[row[f"{role}_side"]],
        "price_ticks": str(row[f"{role}_price"]),
        "shares_micro": str(row["ushares"]),
        "fee_micro_usd": str(fee),
        "cost_micro_usd": str(usd + fee),
        "status": "CONFIRMED",
    }


def write(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


class Run:
    """A played ledger on disk, and polybot's files of it as lists of rows to spoil."""

    def __init__(self, path, desk, folder):
        self.path, self.desk, self.folder = path, desk, folder
        self.account = desk.exchange.accounts.by_number(1).name
        self.slugs, self.fills, self.orders, self.markets = files_of(read_ledger(path), self.account)

    def compare(self):
        for market, slug in self.slugs.items():
            folder = self.folder / "5m" / slug
            write(folder / "fills.csv", FILLS_COLUMNS, [fill for fill in self.fills if fill["_m"] == market])
            write(
                folder / "orders.csv",
                ORDERS_COLUMNS,
                [order for order in self.orders if order["_m"] == market],
            )
        write(self.folder / "5m" / "markets.csv", markets_columns(("s",)), self.markets)
        return compare(self.path, self.folder, account=self.account)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    path = tmp_path_factory.mktemp("venue") / "ledger.jsonl"
    desk = play(Desk(ledger_path=path))
    desk.ledger.close()
    return path, desk


@pytest.fixture
def run(played, tmp_path):
    return Run(*played, tmp_path / "logs")


def test_equal_books_compare_equal_in_every_sum(run):
    report = run.compare()
    assert report.differences == []
    assert report.is_ok
    assert (report.fills, report.orders, report.markets) == (len(run.fills), len(run.orders), 2)
    assert report.fills > 20
    assert {fill["side"] for fill in run.fills} == {"Buy", "Sell"}
    assert report.venue == report.polybot
    assert report.venue.fees > 0
    assert "0 differences" in report.text()


def test_ledger_pnl_is_the_same_from_memory_and_from_the_file(run):
    from_file = account_pnl(read_ledger(run.path), run.account)
    assert from_file == run.desk.ledger.account_pnl(run.account)
    assert sum(from_file.values()) == run.desk.exchange.accounts.by_address(run.account).cash - 1_000_000_000


def test_earlier_statuses_of_a_fill_do_not_count_twice(run):
    run.fills = [
        fill | {"status": status} for fill in run.fills for status in ("MATCHED", "MINED", "CONFIRMED")
    ]
    assert run.compare().is_ok


def test_rows_of_an_earlier_run_in_the_same_folder_are_left_out(run):
    ours = (run.fills, run.orders, run.markets)
    strange = {"order_id": "0xearlier", "cost_micro_usd": "5000000", "fee_micro_usd": "7"}
    run.fills = [fill | strange | {"trade_key": str(key)} for key, fill in enumerate(run.fills)]
    run.orders = [order | {"order_id": "0xearlier", "state": "FILLED"} for order in run.orders]
    run.markets = [market | {"pnl_micro_usd": "1", "outcome": "Up"} for market in run.markets]
    assert not run.compare().is_ok
    before = count_rows(run.folder)
    assert sum(before.values()) == sum(map(len, ours))
    earlier = (run.fills, run.orders, run.markets)
    run.fills, run.orders, run.markets = (old + new for old, new in zip(earlier, ours, strict=True))
    assert not run.compare().is_ok
    report = compare(run.path, run.folder, account=run.account, before=before)
    assert report.differences == []
    assert (report.fills, report.orders, report.markets) == tuple(map(len, ours))
    assert report.venue == report.polybot
    assert count_rows(run.folder / "nowhere") == {}


def test_missing_fill_is_found(run):
    run.fills.pop(3)
    (difference,) = run.compare().differences
    assert "missing" in difference


def test_invented_fill_is_found(run):
    run.fills.append(run.fills[0] | {"trade_key": "12345"})
    (difference,) = run.compare().differences
    assert "the venue knows no such fill" in difference


@pytest.mark.parametrize("column", ["price_ticks", "shares_micro", "fee_micro_usd", "cost_micro_usd"])
def test_one_micro_unit_of_difference_in_a_fill_is_found(run, column):
    run.fills[2][column] = str(int(run.fills[2][column]) + 1)
    (difference,) = run.compare().differences
    assert column in difference


@pytest.mark.parametrize(
    ("column", "value"), [("outcome", "Sideways"), ("side", "Hold"), ("status", "FAILED")]
)
def test_wrong_outcome_side_or_status_of_a_fill_is_found(run, column, value):
    run.fills[2][column] = value
    assert len(run.compare().differences) == 1


@pytest.mark.parametrize("column", MARKETS)
def test_one_micro_usd_of_difference_in_a_market_is_found(run, column):
    run.markets[0][column] = str(int(run.markets[0][column]) - 1)
    (difference,) = run.compare().differences
    assert column in difference


def test_a_run_that_stopped_before_it_heard_an_outcome_is_no_difference_but_its_costs_are_compared(run):
    """The venue settles within a moment of the window's end; who is stopped in that moment has booked no payout."""
    of_all = run.compare()
    run.markets[0].update(outcome="", payout_micro_usd="0", pnl_micro_usd="0")
    report = run.compare()
    assert report.is_ok
    assert (report.markets, report.unheard) == (of_all.markets - 1, 1)
    assert "1 more settled after we had stopped" in report.text()
    run.markets[0]["cost_micro_usd"] = str(int(run.markets[0]["cost_micro_usd"]) + 1)
    (difference,) = run.compare().differences
    assert "cost_micro_usd" in difference


def test_missing_market_wrong_outcome_and_unknown_orders_are_found(run):
    run.markets[1]["outcome"] = "Up" if run.markets[1]["outcome"] == "Down" else "Down"
    gone = run.markets.pop(0)
    lost = run.orders.pop(0)
    run.orders.append({"order_id": "0xfeed", "state": "FILLED", "matched_micro": "1", "_m": lost["_m"]})
    texts = run.compare().differences
    assert len(texts) == 4
    for part in (gone["slug"], "outcome", lost["order_id"], "0xfeed"):
        assert any(part in text for text in texts)


def test_order_ended_at_the_venue_but_not_here_is_found(run):
    ended = next(order for order in run.orders if order["state"] == "FILLED")
    ended["state"] = "UNKNOWN"
    (difference,) = run.compare().differences
    assert ended["order_id"] in difference


def test_several_accounts_need_a_name(run):
    with pytest.raises(ValueError, match="2 accounts"):
        compare(run.path, run.folder)
