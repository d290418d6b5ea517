"""The diffusion transformer and what feeds it: perceivers, fusion, adapters.

Read in this order: `configs`, `variants` (what sizes and ablations there are) -> `pixels`, `map_tower`, `perceiver`,
`photomaker`, `fusion`, `face_encoder` -> `face_embeds` (pictures to tokens) -> `adapter`, `joint_block` (one layer) ->
`identity`, `direct`, `transformer` (all layers) -> `takeover` (around a base), `checks` (what forbids an identity),
`trained` (what training changes).
"""
