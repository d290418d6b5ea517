"""Clips that are in memory: measured by the same networks and the same code as files, to the same bits.

`frames` makes a clip of what a caller holds, `scorer` measures it, `metric` is torchmetrics' view of that.
"""
