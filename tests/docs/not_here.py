"""Command lines of the documents that no test carries out, each with the reason.

Owns the table and nothing else; what can be said of such a line without carrying it out is checked in test_lines.
Called by test_lines and test_execution.
"""

from collections.abc import Mapping

__all__ = ["NOT_HERE"]

REAL_VENUE = "asks the real venue's servers; tests speak to this machine alone"
SUITE = "is the test suite or the benches themselves; make -n says that the targets are there, and the files exist"
COMPILES = "compiles into the tree that is being tested"
INDEX = "installs from a package index"
RAY = "carried out word for word by tests/backtest/test_sweep_process.py, which reads the page"
PICTURES = "overwrites a picture of docs/, some with libraries of an environment of its own"
PAGE = "writes a page of docs/; test_settings holds the page against what it would write"
SERVICE = "needs root and a running systemd; test_deploy reads the units, test_lines the settings of the lines"
DOCKER = "needs a container engine; test_deploy starts the program from the files the Dockerfile copies"
OTHER_MACHINE = "needs a second machine"
PHRASE = "part of a sentence, no command line"
OWN_CORE = "takes a core from whatever else is tested; tests/test_loop_process.py runs a window so"

NOT_HERE: Mapping[str, str] = {
    ".venv/bin/python -m polybot loop.cores=[1] loop.busy_spin=true": OWN_CORE,
    ".venv/bin/python -m polybot doctor loop.cores=[1] loop.busy_spin=true": OWN_CORE,
    "make test": SUITE,
    "make bench": SUITE,
    "POLYBOT_BENCH_SHORT=1 make bench": SUITE,
    ".venv/bin/python -m pytest tests/test_conf.py -q": SUITE,
    "POLYBOT_HARD=5 .venv/bin/python -m pytest tests/test_kill_campaign.py tests/test_stop_campaign.py -q": SUITE,
    "POLYBOT_HARD=8 pytest tests/paper/test_paper_runs.py -k beside": SUITE,
    "make bench-readme": SUITE,
    "make clean": "removes .venv and what was compiled",
    "make lock": INDEX,
    "make peers": INDEX,
    "make PYTHON=/path/to/python": INDEX,
    "pip install -e": PHRASE,
    "POLYBOT_EXT=book,pricing .venv/bin/python setup.py build_ext --inplace": COMPILES,
    "POLYBOT_DEBUG=1 .venv/bin/python setup.py build_ext --inplace --force": COMPILES,
    'script -qec "stty cols 156 rows 44; .venv/bin/python -m polybot +interval=5m venue.speed=20 venue.makers=slow '
    'venue.seed=4 run.markets=1" recording': PICTURES,
    "python docs/pictures/draw_console.py recording docs/pictures/console.png --until "
    '"denied since the last block"': PICTURES,
    'python docs/pictures/draw_step.py FOLDER docs/replay-step.svg --keys "o o f"': PICTURES,
    ".venv/bin/python -m polybot venue.speed=4 venue.makers=slow venue.seed=4": PICTURES,
    ".venv/bin/python -m polybot dashboard watch_ms=250": PICTURES,
    ".venv/bin/python docs/pictures/shoot_dashboard.py ADDRESS docs": PICTURES,
    "make settings": PAGE,
    "python -m polybot fit": PHRASE,
    "python -m polybot backtest -m key=a,b,c": PHRASE,
    "timedatectl set-ntp true": PHRASE,
    "python -m polybot doctor venue=polymarket": REAL_VENUE,
    "systemctl status polybot": SERVICE,
    "journalctl -u polybot": SERVICE,
    "systemctl reset-failed polybot": SERVICE,
    "sudo useradd --system --home-dir /var/lib/polybot --shell /usr/sbin/nologin polybot": SERVICE,
    "sudo install -d -m 0700 /etc/polybot": SERVICE,
    "echo 'POLYBOT_ARGS=venue=polymarket mode=paper risk=conservative' | sudo tee /etc/polybot/settings": SERVICE,
    "sudo cp deploy/polybot.service /etc/systemd/system/": SERVICE,
    "sudo systemctl daemon-reload && sudo systemctl enable --now polybot": SERVICE,
    "sudo -u polybot .venv/bin/python -m polybot status run.state_dir=/var/lib/polybot": SERVICE,
    "systemd-analyze verify": PHRASE,
    "docker build -f deploy/Dockerfile -t polybot .": DOCKER,
    "docker run --name polybot -v polybot-data:/data --stop-timeout 15 polybot": DOCKER,
    "docker exec polybot python -m polybot status run.state_dir=/data/state": DOCKER,
    "docker stop polybot": DOCKER,
    "ssh -L 8765:127.0.0.1:8765 user@trading-machine": OTHER_MACHINE,
    "kill -9": PHRASE,
    "chmod 600": PHRASE,
    "zstd -t": PHRASE,
    "POLYMARKET_PRIVATE_KEY_FILE=key POLYMARKET_FUNDER_ADDRESS=0x... .venv/bin/python -m polybot wallet "
    "venue=polymarket": REAL_VENUE,
    "python -m polybot wallet venue=polymarket": REAL_VENUE,
    "python -m polybot wallet venue=polymarket action=redeem market=btc-updown-5m-1795338600": REAL_VENUE,
    "python -m polybot mode=paper venue=polymarket": REAL_VENUE,
    "python -m polybot record venue=polymarket mode=paper": REAL_VENUE,
    "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=a-long-random-word-of-your-own RAY_USAGE_STATS_ENABLED=0": RAY,
    "ray start --head --node-ip-address=127.0.0.2 --port=6385 --num-cpus=1 --include-dashboard=false --block": RAY,
    "ray start --address=127.0.0.2:6385 --node-ip-address=127.0.0.3 --num-cpus=1 --block": RAY,
    "python -m polybot backtest -m tapes=tapes risk=conservative,standard seed=1,2,3,4,5,6,7,8 sweep.executor=ray "
    "sweep.address=127.0.0.2:6385": RAY,
}
