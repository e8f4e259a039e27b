"""Peak memory of a command and its worker processes, sampled from /proc (Linux).

    python benchmarks/memory.py reidprep build-shards poses shards

Prints the largest sum of resident memory (pages that processes share count for each) and of proportional memory.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path


def tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += [child for child, parent in parents.items() if parent == pid]
    return found


def kilobytes(pid: int, field: str) -> int:
    try:
        match = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    process = subprocess.Popen(sys.argv[1:])
    peaks = {"Rss": 0, "Pss": 0}
    while process.poll() is None:
        pids = tree(process.pid)
        for field in peaks:
            peaks[field] = max(peaks[field], sum(kilobytes(pid, field) for pid in pids))
        time.sleep(0.2)
    print(
        f"peak resident {peaks['Rss'] / 1024:.0f} MB, proportional {peaks['Pss'] / 1024:.0f} MB",
        file=sys.stderr,
    )
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
