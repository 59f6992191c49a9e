"""``python -m mailbridge.cli.worker FD``: a worker of ``smtp.workers``. ``serve`` starts it, and nobody else.

No verb: it needs what only the process with the queue can hand it. It does not load click, YAML, the store or HTTP.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from mailbridge import lean
from mailbridge.cli.event_loop import loop_factory


def main() -> None:
    """Run until the process with the queue hangs up or ends; signals are its business."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lean.import_structlog_alone()
    lean.share_one_heap()
    from mailbridge.workers.worker import run_worker

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run_worker(int(sys.argv[1])))


if __name__ == "__main__":
    main()
