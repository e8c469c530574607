"""Freed memory is kept: what is allocated again costs few new pages."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from vmacli.allocator import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(3):
    torch.ones(4_000_000).add(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(4_000_000).add(1.0)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(mode: str) -> tuple[str, int]:
    result = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    kept, faults = result.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is what is told")
def test_tensors_allocated_again_cost_few_new_pages() -> None:
    kept, faults = _page_faults("keep")
    if kept == "False":
        pytest.skip("this C library has no mallopt")
    assert 2 * faults < _page_faults("default")[1]
