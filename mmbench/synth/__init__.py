"""Synthetic people with known ground truth, rendered on the CPU.

Read in this order: `kit` (the morphable head; made by `kit_build` of what `kit_sources` fetches and `kit_text` reads)
-> `identity`, `sampling`, `looks` (who) -> `algebra`, `body`, `hair`, `strokes`, `skin`, `person` (built once) ->
`expression`, `motion` (what they do) -> `scene`, `backdrop`, `views` (light, clothes, backdrop, camera) -> `raster`,
`kernels`, `occlusion`, `faceframe`, `materials`, `shade`, `stage`, `picture` (pixels) -> `truth` (what is known) ->
`clip`, `batch`, `control` (clips).

    kit = load_kit()
    anna = build_person(kit, sample_identity(kit, "woman", 3))
    for frame in render_clip(anna, Scene(), trajectory("look", 24), truth=True):
        frame.image, frame.truth.landmarks, frame.truth.flow
"""
