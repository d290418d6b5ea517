"""Columns under the names and by the protocols of other benchmarks, faults included; each fault is among its caveats.

They are for comparing with published numbers. A run has them where its settings name them: `--metrics facesim_cur`.
"""
