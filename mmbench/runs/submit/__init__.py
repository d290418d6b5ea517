"""Submissions: a run's rows, what made them and a few of its clips, in a folder that others can check.

`format` says what lies in such a folder, `pack` makes one of a run, `check` holds it against a board's rules without
decoding anything, `measure` measures its clips again. `mmbench.reports.boards` makes one table of many.
"""
