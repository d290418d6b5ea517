"""Clips measured, one row a clip, to be continued after any interruption, by one process or many.

`evaluate` leads: `session` says who is at work in the folder, `plan` what is left to do, `work` sends it to workers,
`clip` measures one item of what `gather` looked for, `sets` scores a model's clips together, `result` is what the
caller gets. A run on disk: `record` (what was asked for), `store` (the files of rows), `rows` (one row), `index` (where
each row lies and what it was made of), `features` (what sets are scored from). `inputs` says what a number is made of,
`digests` which videos are other ones than before, `items` where items come from, `fault` how a fault is told, `profile`
where the time goes.
"""
