"""No visitor waits for a compiler: what `warm` compiles is all that the machine ever calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
MODES = (
    "A_2m_legacy_lazy__6.1.json.gz",
    "A_2m_legacy_eager__6.18-intel-pml.json.gz",
    "A_2m_ring_lazy__6.12-intel-pml.json.gz",
    "A_2m_manual_initset_eager__6.12.json.gz",
    "B_thp_dontneed_logging_lazy__6.12.json.gz",
    "D_thp_unpopulated_host_eager__6.12.json.gz",
    "C_2m_2vcpu_legacy_lazy__6.12.json.gz",
    "S_shadow_2m_manual_initset_lazy__6.12.json.gz",
    "B_2m_delslot_eager__6.12.json.gz",
)

COUNT_MISSES = """
import json, pkgutil, sys, importlib
from pathlib import Path
import mmuviz.mmu
from mmuviz.mmu.recordings import read_document
from mmuviz.mmu.replay import replayed
for name in sys.argv[1:]:
    replayed(read_document(Path(name)))
from bench.touches import new_machine, touch
import numpy as np
machine = new_machine(1, record=False)
touch(machine, np.arange(1 << 18, (1 << 18) + 600))
machine.enable_dirty_logging(0)
touch(machine, np.arange(1 << 18, (1 << 18) + 600))
machine.disable_dirty_logging(0)
missed = []
for module in pkgutil.iter_modules(mmuviz.mmu.__path__, "mmuviz.mmu."):
    for name, value in vars(importlib.import_module(module.name)).items():
        if hasattr(value, "stats") and sum(value.stats.cache_misses.values()):
            missed.append(module.name + "." + name)
print(json.dumps(sorted(missed)))
"""


def test_nothing_is_compiled_after_warm(tmp_path: Path) -> None:
    environment = {**os.environ, "MMUVIZ_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "mmuviz", "warm"], env=environment, check=True)
    files = [str(RECORDINGS / name) for name in MODES]
    done = subprocess.run(
        [sys.executable, "-c", COUNT_MISSES, *files], env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == []
