"""Videos in and out: one streamed decode for all passes, frame sampling, cadence check, deterministic writing.

`read` opens and decodes a `clip`, `ahead` of its passes, and `upcoming` the next one. `source` tells the kinds apart,
`container` reads files of FFmpeg's kinds, `webp` and `folder` the others, `image` one picture; `endings` says how all
of them are called, `listing` how names fall into clips, `limits` what one may cost. `sample` says which frames are
looked at, `cadence` whether they change, `need` what whoever looks has to be given; `write` is the way out.
"""
