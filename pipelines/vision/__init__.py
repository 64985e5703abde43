"""From a photo's bytes to a vector."""

import os

# What a network computes in between takes tens of megabytes, which come and go with every batch.
# torch asks the kernel for huge pages only if told so before its first tensor: pages of 4 KiB are
# tens of thousands of faults a batch.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
