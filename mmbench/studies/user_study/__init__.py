"""What do people say? Blind ratings and pairwise votes on the clips of runs (`mmbench study`).

In the order of work: `design` (what raters may know, and the key that they may not), `plan` (who sees what), `blind`
(clips without a trace of their model), `make` (a new study), `votes` (the store), `guard`, `app` and `serve` (the
server), `judgements` (votes with the key), `status`, `report` and `pages` (its files), `static` (a folder for hosts
without a server, and the import of its votes), `handing` (export and delete).
"""
